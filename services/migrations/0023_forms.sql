-- Documents have more forms than five: `form` is the ending of the file's name, which the program knows. Of the files of
-- a whole month, `name` is 'month/' and how many documents they hold, and `form` is the file's name.
alter table invoicing.document
    drop constraint document_form_check,
    add constraint document_form_check check (form <> '');
