-- what: BEFORE triggers throw some changes and deletions away (RETURN NULL), and say nothing.
-- check: trigger swallow
-- as legacy: writes=held + refused NOT_FOUND + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused NOT_FOUND + unsettled; reconcile=equal; handover=stays with modern
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF OLD.id IN ('A2', 'A11', 'A12') THEN RETURN NULL; END IF;
  RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER swallow BEFORE UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION swallow();
