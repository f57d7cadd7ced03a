-- Renames owner to customer, expand: both columns have the value, whichever of them a pod writes and reads.
CREATE FUNCTION baskets_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.customer := coalesce(NEW.customer, NEW.owner);
  NEW.owner := coalesce(NEW.owner, NEW.customer);
  RETURN NEW;
END
$$;
ALTER TABLE baskets ADD COLUMN customer text;
CREATE TRIGGER baskets_names BEFORE INSERT ON baskets FOR EACH ROW EXECUTE FUNCTION baskets_names();
UPDATE baskets SET customer = owner WHERE customer IS NULL;
ALTER TABLE baskets ALTER COLUMN customer SET NOT NULL;
