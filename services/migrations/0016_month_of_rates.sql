-- Of a line whose price is in another currency: the month that its rate was given for, which may be an earlier one.
alter table invoicing.invoice_line add column rate_month text;
