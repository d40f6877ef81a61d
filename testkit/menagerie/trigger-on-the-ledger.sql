-- what: A trigger on the ledger throws every second row away.
-- check: trigger eats
-- as legacy: writes=held + refused INTERNAL; reconcile=equal; handover=there and back
-- as modern: writes=held + refused INTERNAL; reconcile=equal; handover=there and back
-- as oracle: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
SELECT 1;
-- after init
CREATE FUNCTION eats() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RETURN CASE WHEN hashtext(NEW.write_id::text) % 2 = 0 THEN NEW END;
END $$;
CREATE TRIGGER eats BEFORE INSERT ON strangler_ledger FOR EACH ROW EXECUTE FUNCTION eats();
