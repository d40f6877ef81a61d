-- what: Rules throw deletions and some updates away (DO INSTEAD NOTHING).
-- check: does something else instead of what it is asked
-- as legacy: writes=held + refused INTERNAL + refused NOT_FOUND + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused NOT_FOUND + unsettled; reconcile=equal; handover=stays with modern
CREATE RULE no_delete AS ON DELETE TO item DO INSTEAD NOTHING;
CREATE RULE no_update AS ON UPDATE TO item WHERE NEW.id = 'A2' DO INSTEAD NOTHING;
