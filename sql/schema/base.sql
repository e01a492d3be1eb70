-- Two schemas: image_gen is what users see, image_gen_internal the machinery. schema/ has tables and types, queue/ what changes
-- the state of a job, budgets/ what changes money, api/ and reports/ what users call and read, grants.sql who may do what.
--
-- Each of these files pins its search path, and names all of ours with their schema. Between them stand the functions of the
-- library, as generated: the public ones are made in image_gen, which is the search path at the end of each file.

SET LOCAL search_path = pg_catalog, pg_temp;

-- CREATE EXTENSION adopts a schema that already exists. One that another role has prepared could hold what ours would use
-- (functions, operators, types, whatever has a schema: all of it depends on that), or let that role put something in
-- meanwhile, so it is refused.
DO $$
DECLARE
  schema_id oid;
  squatter text;
BEGIN
  IF getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'image_gen needs a database whose encoding is UTF8, and this one has %', getdatabaseencoding()
      USING ERRCODE = 'feature_not_supported', DETAIL = 'Prompts, and what providers answer, can have any character of Unicode.',
            HINT = 'CREATE DATABASE ... TEMPLATE template0 ENCODING ''UTF8'' makes one that can have it.';
  END IF;
  SELECT n.oid INTO STRICT schema_id FROM pg_namespace n WHERE n.nspname = 'image_gen';
  SELECT pg_describe_object(d.classid, d.objid, d.objsubid) INTO squatter
    FROM pg_depend d
   WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = schema_id
     AND NOT (d.classid = 'pg_extension'::regclass AND d.objid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'image_gen'))
   LIMIT 1;
  IF squatter IS NOT NULL
     OR EXISTS (SELECT FROM pg_namespace n LEFT JOIN pg_roles r ON r.oid = n.nspowner
                 WHERE n.oid = schema_id AND r.rolname IS DISTINCT FROM current_user)
     OR EXISTS (SELECT FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) x WHERE n.oid = schema_id AND x.grantee <> n.nspowner AND x.privilege_type = 'CREATE')
  THEN
    RAISE EXCEPTION 'schema image_gen exists already and is not an empty schema of this user alone'
      USING ERRCODE = 'duplicate_schema', DETAIL = coalesce('It has ' || squatter || '.', 'Its owner is another role, or other roles may create in it.'),
            HINT = 'Look at what is in it, then drop or rename it.';
  END IF;
END $$;

-- Made here and nowhere before: an error where it exists.
CREATE SCHEMA image_gen_internal;
COMMENT ON SCHEMA image_gen_internal IS
'The machinery of image_gen: tables and functions that its own functions and its worker use. They change without notice.';

-- Domains: what stands in several tables, or on the way of every job. The rule of a domain is prepared once in the life of a
-- session, a CHECK of a table in every statement that writes to it: on the way of every job that is a third of what queueing costs.
-- Asked for every row of jobs: a regular expression would take a tenth of what queueing costs.
CREATE FUNCTION image_gen_internal.is_job_id(id text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'is_job_id_wrapper';
COMMENT ON FUNCTION image_gen_internal.is_job_id(text) IS 'gen_ and the 26 characters of a ULID.';
CREATE DOMAIN image_gen.job_id AS text COLLATE "C" CONSTRAINT job_id_check CHECK (image_gen_internal.is_job_id(VALUE));
COMMENT ON DOMAIN image_gen.job_id IS 'gen_ and a ULID: sorts by time.';
CREATE DOMAIN image_gen.operation AS text
  CONSTRAINT operation_check CHECK (VALUE IN ('generate', 'edit', 'upscale', 'variate', 'transfer_style'));
COMMENT ON DOMAIN image_gen.operation IS 'What a job does to images: the name of the function that queues it.';
CREATE DOMAIN image_gen.task AS text
  CONSTRAINT task_check CHECK (VALUE IN ('generate', 'character', 'img2img', 'inpaint', 'outpaint', 'upscale', 'variate', 'transfer_style'));
COMMENT ON DOMAIN image_gen.task IS 'What a model must be able to do for a job.';
CREATE DOMAIN image_gen.job_state AS text
  CONSTRAINT job_state_check CHECK (VALUE IN ('queued', 'running', 'succeeded', 'failed', 'needs_review', 'canceled'));
COMMENT ON DOMAIN image_gen.job_state IS 'How far a job has come. (job_status is the view of a job with its result.)';
CREATE DOMAIN image_gen.attempt_state AS text
  CONSTRAINT attempt_state_check CHECK (VALUE IN ('running', 'succeeded', 'failed', 'refused', 'uncertain', 'canceled'));
COMMENT ON DOMAIN image_gen.attempt_state IS 'How a call stands, or has ended.';
CREATE DOMAIN image_gen.queue_state AS text CONSTRAINT queue_state_check CHECK (VALUE IN ('waiting', 'ready', 'alone', 'running'));
COMMENT ON DOMAIN image_gen.queue_state IS 'What a job in the queue waits for.';
CREATE DOMAIN image_gen.priority AS text
  CONSTRAINT priority_check CHECK (VALUE IN ('quality', 'control', 'speed', 'variety', 'cost', 'privacy'));
COMMENT ON DOMAIN image_gen.priority IS 'What matters most to a caller who leaves the choice of a model open.';
CREATE DOMAIN image_gen.seed AS bigint CONSTRAINT seed_check CHECK (VALUE BETWEEN 0 AND 2147483647);
COMMENT ON DOMAIN image_gen.seed IS 'What an image begins from: 0 to 2147483647.';
CREATE DOMAIN image_gen.jsonb_object AS jsonb CONSTRAINT jsonb_object_check CHECK (jsonb_typeof(VALUE) = 'object');
COMMENT ON DOMAIN image_gen.jsonb_object IS 'A JSON object, not an array or a single value.';
CREATE DOMAIN image_gen.cost AS numeric CONSTRAINT cost_check CHECK (VALUE >= 0 AND VALUE < 'Infinity');
COMMENT ON DOMAIN image_gen.cost IS 'What something costs, or may cost: from 0 up. NULL is unknown, or no limit.';
CREATE DOMAIN image_gen.cost_source AS text CONSTRAINT cost_source_check CHECK (VALUE IN ('reported', 'priced', 'unknown'));
COMMENT ON DOMAIN image_gen.cost_source IS 'Where a cost comes from. reported: the provider said so. priced: computed. unknown.';
CREATE DOMAIN image_gen.amount AS numeric
  CONSTRAINT amount_check CHECK (VALUE >= 0 AND VALUE < 1e9 AND scale(trim_scale(VALUE)) <= 18);
COMMENT ON DOMAIN image_gen.amount IS 'An amount of money that a person or a provider says: from 0 up, below 1,000,000,000, at most 18 digits after the point.';
CREATE DOMAIN image_gen.currency AS text CONSTRAINT currency_check CHECK (VALUE ~ '^[A-Z]{3}$');
COMMENT ON DOMAIN image_gen.currency IS 'ISO 4217.';
CREATE DOMAIN image_gen.positive AS integer CONSTRAINT positive_check CHECK (VALUE > 0);
COMMENT ON DOMAIN image_gen.positive IS 'From 1 up.';
CREATE DOMAIN image_gen.origin AS text CONSTRAINT origin_check CHECK (VALUE IN ('catalogue', 'admin'));
COMMENT ON DOMAIN image_gen.origin IS 'Of a row of the catalogue. catalogue: as shipped. admin: written or changed here.';

CREATE FUNCTION image_gen_internal.raise_rule_violation() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'new row for relation "%" violates the rule "%"', TG_TABLE_NAME, TG_NAME
    USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_rule_violation() IS 'The error of a rule between columns: the trigger says when, and its name is the rule''s.';


-- PostgreSQL's own functions, which say nothing about what they are given: LEAKPROOF, so that an index on them is of use to those
-- who see their own rows only (src/leakproof.rs).
CREATE FUNCTION image_gen_internal.metadata_entry(metadata jsonb, key text) RETURNS text
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'image_gen_entry';
COMMENT ON FUNCTION image_gen_internal.metadata_entry(jsonb, text) IS 'metadata ->> key, for indexes.';
CREATE FUNCTION image_gen_internal.abbreviate(words text, characters integer) RETURNS text
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'image_gen_start_of';
COMMENT ON FUNCTION image_gen_internal.abbreviate(text, integer) IS 'left(words, characters), for indexes: an entry of an index has a largest size.';

CREATE FUNCTION image_gen_internal.role_name(role oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce((SELECT r.rolname FROM pg_roles r WHERE r.oid = role), role::text);
END $$;
COMMENT ON FUNCTION image_gen_internal.role_name(oid) IS 'The name of a role as it is, without quotes; of one that was dropped, its oid.';

SET LOCAL search_path = image_gen, pg_temp;
