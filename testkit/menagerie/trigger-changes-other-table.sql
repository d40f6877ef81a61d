-- what: A trigger on items writes lines, which no statement of ours names.
-- check: trigger notes
-- as legacy: writes=held; reconcile=differs; handover=there and back
-- known broken as modern: writes are called settled that the other side does not hold
-- as oracle: writes=held; reconcile=differs; handover=there and back
CREATE FUNCTION notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO line (item, pos, txt) VALUES (NEW.id, 1, 'changed') ON CONFLICT (item, pos) DO UPDATE SET txt = 'changed';
  RETURN NULL;
END $$;
CREATE TRIGGER notes AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION notes();
