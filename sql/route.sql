-- Where a job could go, and what it would find there: read from the catalogue when it is queued and when it is claimed.

-- Functions on the way of every job are PL/pgSQL even where SQL would do: it keeps their plans.
-- Not PL/pgSQL: this one becomes part of the queries that use it. (Its names are bound when it is created.)
CREATE FUNCTION image_gen._prices_on(model text, kind text, on_day date) RETURNS TABLE (price jsonb, origin text, id bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT jsonb_build_object('unit', r.unit, 'quality', r.quality, 'amount', r.amount::text, 'currency', r.currency), r.origin, r.id
    FROM image_gen.prices r
   WHERE r.model = $1 AND r.provider_kind = $2 AND $3 >= r.valid_from AND $3 < r.valid_to
     -- One price of an administrator's own puts all of the catalogue aside, in whatever unit.
     AND (r.origin = 'admin' OR NOT EXISTS (
           SELECT FROM image_gen.prices o
            WHERE o.model = $1 AND o.provider_kind = $2 AND o.origin = 'admin' AND $3 >= o.valid_from AND $3 < o.valid_to));
END;
COMMENT ON FUNCTION image_gen._prices_on(text, text, date) IS 'The prices of a model at a kind of provider that hold on a day; where two fit, the one that comes first by origin and id, the highest first.';

CREATE VIEW image_gen._listed AS
SELECT p.id AS provider, p.enabled, p.priority, p.kind, m.name, m.provider_kind, m.successor, m.default_for, m.remote_name, m.typical_seconds,
       jsonb_build_object(
         'provider', p.id, 'kind', p.kind, 'base_url', p.base_url, 'key_name', p.key_name, 'api', m.api, 'operations', to_jsonb(m.operations),
         'sizes', m.sizes, 'prompt_chars', m.prompt_chars, 'max_n', m.max_n, 'parameters', m.parameters, 'fixed', m.fixed,
         'max_in_flight', p.max_in_flight, 'requests_per_minute', p.requests_per_minute,
         'prices', (SELECT jsonb_agg(r.price ORDER BY r.origin, r.id DESC) FROM image_gen._prices_on(m.name, m.provider_kind, current_date) r)) AS offer
  FROM image_gen.models m JOIN image_gen.providers p ON p.kind = m.provider_kind;
COMMENT ON VIEW image_gen._listed IS 'Each model at each provider, as the engine wants to be told of it.';

CREATE FUNCTION image_gen._candidates(task text, model text, provider text, disabled_too boolean DEFAULT false) RETURNS jsonb
-- A plan for these values would take three times as long to make as the general one takes to run.
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  -- A strict reference picture is a task of its own where a provider has a model for it.
  plain text := CASE task WHEN 'character' THEN 'generate' ELSE task END;
BEGIN
  IF task IS NULL THEN
    -- A query of its own: only to begin the larger one takes as long as this one.
    RETURN (
      SELECT coalesce(jsonb_agg(jsonb_strip_nulls(c.offer || jsonb_build_object(
               'model', $2, 'remote_name', CASE c.name WHEN '*' THEN $2 ELSE c.remote_name END, 'stands_in', false,
               'typical_seconds', coalesce(t.seconds, c.typical_seconds)))
               ORDER BY c.priority, c.provider), '[]')
        FROM image_gen._listed c
        LEFT JOIN image_gen.timings t ON t.provider = c.provider AND t.model = $2
       WHERE c.name IN ($2, '*') AND c.successor IS NULL AND (c.enabled OR $4) AND ($3 IS NULL OR c.provider = $3)
         -- A model without a row is reached through its provider's *.
         AND (c.name = $2 OR $3 IS NOT NULL
              AND NOT EXISTS (SELECT FROM image_gen.models o WHERE o.name = $2 AND o.provider_kind = c.provider_kind)));
  END IF;
  RETURN (
    WITH offers AS MATERIALIZED (
      SELECT c.*, false AS stands_in
        FROM image_gen._listed c
       WHERE $2 IS NOT NULL AND c.name IN ($2, '*') AND c.successor IS NULL AND (c.enabled OR $4) AND ($3 IS NULL OR c.provider = $3)
         AND (c.name = $2 OR $3 IS NOT NULL
              AND NOT EXISTS (SELECT FROM image_gen.models o WHERE o.name = $2 AND o.provider_kind = c.provider_kind))
    ), ready AS MATERIALIZED (
      SELECT p.id FROM image_gen.providers p
       WHERE (p.enabled OR $4) AND ($3 IS NULL OR p.id = $3) AND p.kind <> 'preview'
         -- Nobody without a key stands in; who was asked for is listed without one, so that it can be said.
         AND ($2 IS NULL OR (SELECT w.configured IS NULL OR image_gen._has_access(p.kind, p.base_url, p.key_name, w.configured)
                               FROM image_gen.worker_state w))
         AND NOT EXISTS (SELECT FROM offers o WHERE o.provider = p.id)
    ), usual AS (
      SELECT DISTINCT ON (c.provider) c.*, $2 IS NOT NULL AS stands_in
        FROM ready r JOIN image_gen._listed c ON c.provider = r.id
       -- Who can inpaint can outpaint: on a larger canvas.
       WHERE c.successor IS NULL AND c.default_for && ARRAY[plain, $1, CASE $1 WHEN 'outpaint' THEN 'inpaint' ELSE $1 END]
       ORDER BY c.provider, $1 = ANY (c.default_for) DESC
    )
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(c.offer || jsonb_build_object(
             'model', CASE c.name WHEN '*' THEN $2 ELSE c.name END,
             'remote_name', CASE c.name WHEN '*' THEN $2 ELSE c.remote_name END, 'stands_in', c.stands_in,
             'typical_seconds', coalesce(t.seconds, c.typical_seconds)))
             ORDER BY c.stands_in, c.priority, c.provider), '[]')
      FROM (SELECT * FROM offers UNION ALL SELECT * FROM usual) c
      LEFT JOIN image_gen.timings t ON t.provider = c.provider AND t.model = CASE c.name WHEN '*' THEN $2 ELSE c.name END);
END $$;
COMMENT ON FUNCTION image_gen._candidates(text, text, text, boolean) IS
'The (provider, model) pairs that could do a task, in the administrator''s order: those that offer the model, then the usual models of the
others, which stand in. Without a model: the usual ones. Without a task: none stand in.';

CREATE FUNCTION image_gen._offers(asked text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT image_gen._candidates(NULL, t.model, t.provider) FROM image_gen._resolve_model(asked) t);
EXCEPTION WHEN undefined_object THEN
  RETURN '[]';  -- its row is gone since: nobody offers it
END $$;
COMMENT ON FUNCTION image_gen._offers(text) IS 'The candidates of a model by its name; none when there is no such model any more.';

CREATE FUNCTION image_gen._rungs() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                   'action', l.action, 'candidates', CASE WHEN l.model IS NOT NULL THEN image_gen._offers(l.model) END))
                 ORDER BY l.rung), '[]')
            FROM image_gen.ladder l);
END $$;
COMMENT ON FUNCTION image_gen._rungs() IS 'What follows a refusal, with the candidates of the models that it names.';

CREATE FUNCTION image_gen._place(reference text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  place jsonb;
BEGIN
  IF reference LIKE 'image-gen:sha256:%' THEN
    RETURN jsonb_build_object('stored', substr(reference, 18));
  ELSIF reference LIKE 'asset:%' OR reference LIKE 'job:%' THEN
    SELECT jsonb_strip_nulls(jsonb_build_object(
             'stored', (SELECT b.sha256 FROM image_gen.blobs b WHERE b.sha256 = a.sha256),
             'url', (SELECT u FROM unnest(ARRAY[a.mirror_url, a.url]) u WHERE u ~ '^https?://' LIMIT 1)))
      INTO place
      FROM image_gen.campaign_assets a
     WHERE CASE WHEN reference LIKE 'asset:%' THEN a.id = substr(reference, 7)::bigint
                ELSE a.job_id = substr(reference, 5) AND a.position = 1 END;
    RETURN coalesce(place, '{}');
  END IF;
  RETURN jsonb_build_object('url', reference);
END $$;
COMMENT ON FUNCTION image_gen._place(text) IS 'Where the bytes of a picture are that a job refers to: stored under a hash, at a URL, or both.';
