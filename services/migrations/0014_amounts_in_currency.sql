-- Of a line whose price is in another currency: that, how much of it one unit of the contract's bought, and the amount in it.
alter table invoicing.invoice_line
    add column price_currency text,
    add column rate numeric,
    add column price_amount numeric;
