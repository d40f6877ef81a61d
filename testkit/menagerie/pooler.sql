-- what: Between two transactions somebody takes away what a session has made for itself, as a pooler does (DISCARD ALL).
-- disturb: resets
-- not as oracle: nothing stands between the client library and an Oracle that would
-- as legacy: writes=refused by init; reconcile=not asked; handover=not asked
-- as modern: writes=refused by init; reconcile=not asked; handover=not asked
SELECT 1;
