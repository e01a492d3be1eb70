-- CREATE EXTENSION: what it brings, and who may do what with it (S91, N7, N22).
-- The server of these tests runs no worker: max_worker_processes is 0, the library is not preloaded.
SET client_min_messages = notice;
CREATE EXTENSION image_gen;

-- Without preloading it says so: the worker is gone after a restart.
SELECT extname, extversion, nspname AS schema, extrelocatable AS relocatable
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'image_gen';

CREATE TEMP VIEW relations AS
SELECT c.oid, c.relname, c.relkind, c.relacl, c.relowner, c.reltype, c.reloptions, c.relrowsecurity
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('image_gen', 'image_gen_internal') AND c.relkind IN ('r', 'v', 'S', 'c');

CREATE TEMP VIEW functions AS
SELECT p.oid, p.proname, p.oid::regprocedure::text AS signature, p.proacl, p.proowner, p.prosecdef, p.proconfig
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('image_gen', 'image_gen_internal');

CREATE TEMP VIEW domains AS
SELECT t.oid, t.typname, t.typacl, t.typowner FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname IN ('image_gen', 'image_gen_internal') AND t.typtype = 'd';

SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'type' END AS kind, relname AS name
  FROM relations
UNION ALL
SELECT 'domain', typname FROM domains ORDER BY 1, 2;

-- All of it belongs to the extension, so DROP EXTENSION leaves nothing behind.
SELECT 'relation' AS kind, relname AS name FROM relations r
 WHERE relkind <> 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'e')
   -- A composite type belongs by its pg_type entry.
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = r.reltype AND d.deptype = 'e')
UNION ALL
SELECT 'domain', typname FROM domains o
 WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = o.oid AND d.deptype = 'e')
UNION ALL
SELECT 'function', signature FROM functions f
 WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e');

-- The roles: no login, nothing special, no member of each other.
SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication
  FROM pg_roles WHERE rolname LIKE 'image\_gen\_%' ORDER BY 1;
SELECT r.rolname AS role, m.rolname AS member FROM pg_auth_members a
  JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
 WHERE r.rolname LIKE 'image\_gen\_%' AND m.rolname LIKE 'image\_gen\_%';

-- PUBLIC gets nothing: no rows.
SELECT 'schema' AS kind, nspname AS name, a.privilege_type
  FROM pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a WHERE nspname IN ('image_gen', 'image_gen_internal') AND a.grantee = 0
UNION ALL
SELECT 'relation', relname, a.privilege_type
  FROM relations, aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a
 WHERE relkind <> 'c' AND a.grantee = 0
UNION ALL
SELECT 'column', r.relname || '.' || attname, a.privilege_type
  FROM relations r JOIN pg_attribute t ON t.attrelid = r.oid, aclexplode(t.attacl) a WHERE a.grantee = 0
UNION ALL
SELECT 'function', signature, a.privilege_type
  FROM functions, aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee = 0
UNION ALL
SELECT 'type', r.relname, a.privilege_type
  FROM relations r JOIN pg_type t ON t.oid = r.reltype, aclexplode(coalesce(typacl, acldefault('T', typowner))) a
 WHERE r.relkind = 'c' AND a.grantee = 0
UNION ALL
SELECT 'domain', typname, a.privilege_type
  FROM domains, aclexplode(coalesce(typacl, acldefault('T', typowner))) a WHERE a.grantee = 0
ORDER BY 1, 2, 3;

-- Relations, by role: r SELECT, a INSERT, w UPDATE, d DELETE, D TRUNCATE, x REFERENCES, t TRIGGER, U USAGE.
CREATE FUNCTION pg_temp.may(role text, relation oid, kind "char") RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(p.letter, '' ORDER BY p.position), '')
    FROM (VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT'), (3, 'w', 'UPDATE'), (4, 'd', 'DELETE'), (5, 'D', 'TRUNCATE'),
                 (6, 'x', 'REFERENCES'), (7, 't', 'TRIGGER'), (8, 'U', 'USAGE')) p(position, letter, privilege)
   -- AND may be evaluated in any order, and a privilege that there is not is an error.
   WHERE CASE WHEN kind <> 'S' THEN CASE WHEN p.privilege <> 'USAGE' THEN has_table_privilege(role, relation, p.privilege) END
              WHEN p.privilege IN ('SELECT', 'UPDATE', 'USAGE') THEN has_sequence_privilege(role, relation, p.privilege) END
$$;
SELECT relname AS relation, relrowsecurity AS rls, pg_temp.may('image_gen_user', oid, relkind) AS "user",
       pg_temp.may('image_gen_admin', oid, relkind) AS admin, pg_temp.may('image_gen_worker', oid, relkind) AS worker
  FROM relations WHERE relkind <> 'c' ORDER BY 1;

-- Single columns, where a role has no right to the whole table.
SELECT r.relname AS relation, t.attname AS "column", g.rolname AS role, a.privilege_type
  FROM relations r JOIN pg_attribute t ON t.attrelid = r.oid, aclexplode(t.attacl) a JOIN pg_roles g ON g.oid = a.grantee
 ORDER BY 1, 2, 3, 4;

-- Functions, by role.
SELECT proname AS function, has_function_privilege('image_gen_user', oid, 'EXECUTE') AS "user",
       has_function_privilege('image_gen_admin', oid, 'EXECUTE') AS admin,
       has_function_privilege('image_gen_worker', oid, 'EXECUTE') AS worker, prosecdef AS definer
  FROM functions ORDER BY proname COLLATE "C", signature COLLATE "C";

-- No function finds what a caller has put into the way: each one has its search path, or its names are bound since it was created (those
-- of C, pgrx's own and PostgreSQL's, call by full name).
SELECT signature FROM functions f JOIN pg_proc p USING (oid)
 WHERE p.prolang NOT IN (SELECT oid FROM pg_language WHERE lanname IN ('c', 'internal')) AND p.prosqlbody IS NULL
   AND NOT coalesce(p.proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}';

-- Views are read with the rights of the reader, except those that show nobody's rows.
SELECT relname, coalesce(reloptions @> '{security_invoker=true}', false) AS security_invoker
  FROM relations WHERE relkind = 'v' ORDER BY 1;

SELECT tablename, policyname, permissive, roles, cmd, qual, with_check
  FROM pg_policies WHERE schemaname = 'image_gen' ORDER BY 1, 2;

-- What pg_dump takes along: the catalogue's own rows are not in it, an administrator's are.
SELECT c.relname AS relation, d.condition
  FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS d(oid, condition) JOIN pg_class c ON c.oid = d.oid
 WHERE e.extname = 'image_gen' ORDER BY 1;

-- A schema that somebody else prepared is refused.
CREATE DATABASE image_gen_regress_prepared;
\set before :DBNAME
\c image_gen_regress_prepared
CREATE SCHEMA image_gen;
CREATE FUNCTION image_gen.generate(prompt text) RETURNS text LANGUAGE sql AS 'SELECT $1';
\set VERBOSITY terse
CREATE EXTENSION image_gen;
\echo :SQLSTATE
\set VERBOSITY default
SELECT count(*) FROM pg_extension WHERE extname = 'image_gen';
-- An empty schema of the same user is taken.
DROP FUNCTION image_gen.generate;
CREATE EXTENSION image_gen;
-- And nothing is left behind, except the roles: they belong to the whole server.
DROP EXTENSION image_gen;
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname IN ('image_gen', 'image_gen_internal');
\c :before
DROP DATABASE image_gen_regress_prepared;
