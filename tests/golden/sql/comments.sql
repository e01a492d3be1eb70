-- Everything that users see is explained in the database itself: what is listed here has no COMMENT.
-- Functions of image_gen_internal may go without.
SELECT p.oid::regprocedure AS function
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'image_gen' AND obj_description(p.oid, 'pg_proc') IS NULL
 ORDER BY p.proname COLLATE "C";

SELECT c.relname AS relation
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('image_gen', 'image_gen_internal') AND c.relkind IN ('r', 'v')
   AND obj_description(c.oid, 'pg_class') IS NULL
 ORDER BY 1;

SELECT t.typname AS type
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE n.nspname IN ('image_gen', 'image_gen_internal') AND (t.typtype <> 'c' OR c.relkind = 'c') AND t.typelem = 0
   AND obj_description(t.oid, 'pg_type') IS NULL
 ORDER BY 1;

-- Columns of the tables that users may read. (The columns of a view are those of the tables behind it.)
SELECT c.relname AS relation, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE n.nspname IN ('image_gen', 'image_gen_internal') AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
   AND has_table_privilege('image_gen_user', c.oid, 'SELECT') AND col_description(c.oid, a.attnum) IS NULL
 GROUP BY 1 ORDER BY 1;

-- Settings say what they are for.
SELECT name FROM pg_settings WHERE name LIKE 'image\_gen.%' AND short_desc = '';
