-- What is charged on other charges has no usage of its own.
alter table rating.charge add column is_fee boolean not null default false;

-- Of a price in another currency: how much of it one unit of the contract's buys, and the amount in it.
alter table rating.charge
    add column currency text,
    add column rate numeric,
    add column currency_amount numeric;
