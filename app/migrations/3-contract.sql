-- Renames owner to customer, contract: no pod that runs knows owner any more. Code from before the expansion cannot come back.
DROP TRIGGER baskets_names ON baskets;
DROP FUNCTION baskets_names();
ALTER TABLE baskets DROP COLUMN owner;
