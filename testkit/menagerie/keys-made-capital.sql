-- what: A BEFORE trigger makes keys capital and pads numbers, as SAP's ALPHA conversion does.
-- check: trigger alpha
-- as legacy: writes=held + refused KEY_NOT_KEPT + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused KEY_NOT_KEPT + unsettled; reconcile=equal; handover=stays with modern
CREATE FUNCTION alpha() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  NEW.id := CASE WHEN NEW.id ~ '^[0-9]+$' THEN lpad(NEW.id, 18, '0') ELSE upper(NEW.id) END; RETURN NEW;
END $$;
CREATE TRIGGER alpha BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION alpha();
