-- Looking instead of reading: the images of a campaign or a batch as one page.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.contact_sheet(campaign text DEFAULT NULL, batch text DEFAULT NULL, at_most integer DEFAULT 200) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sheet jsonb;
BEGIN
  IF num_nonnulls($1, $2) = 0 THEN
    RAISE EXCEPTION 'a contact sheet is of a campaign or of a batch' USING ERRCODE = 'null_value_not_allowed', HINT = 'Write contact_sheet(campaign => ''...'') or contact_sheet(batch => ''bat_...'').';
  ELSIF $3 IS NULL OR $3 NOT BETWEEN 1 AND 500 THEN
    RAISE EXCEPTION 'at_most is %', coalesce($3::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give 1 to 500.';
  END IF;
  WITH jobs AS MATERIALIZED (
    SELECT j.id, j.seq, j.status, j.prompt, j.model, j.seed, j.known_cost, j.cost_source, j.currency, j.error_code, j.metadata ->> 'shot' AS shot
      FROM image_gen.jobs j
     WHERE ($2 IS NULL OR j.batch = $2)
       AND ($1 IS NULL OR image_gen_internal.abbreviate(image_gen_internal.metadata_entry(j.metadata, 'campaign'), 100) = image_gen_internal.abbreviate($1, 100)
                          AND j.metadata ->> 'campaign' = $1)
       -- The last job of a shot that was made again.
       AND NOT EXISTS (SELECT FROM image_gen.jobs r WHERE r.parent = j.id AND r.batch = j.batch AND r.relation = 'rerun')
  ), entries AS MATERIALIZED (
    SELECT j.seq, j.id AS job_id, a.id AS asset_id, a.position, coalesce(a.known_cost, j.known_cost) AS known_cost, coalesce(a.cost_source, j.cost_source) AS cost_source,
           coalesce(a.currency, j.currency) AS currency
      FROM jobs j LEFT JOIN image_gen.campaign_assets a ON a.job_id = j.id
    UNION ALL
    -- Of jobs that were pruned.
    SELECT NULL, a.job_id, a.id, a.position, a.known_cost, a.cost_source, a.currency
      FROM image_gen.campaign_assets a
     WHERE ($1 IS NULL OR a.campaign = left($1, 255)) AND ($2 IS NULL OR a.batch = $2) AND NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = a.job_id)
  ), shown AS MATERIALIZED (
    SELECT e.*, row_number() OVER (ORDER BY e.seq NULLS FIRST, e.job_id, e.position) AS place FROM entries e ORDER BY place LIMIT $3
  )
  SELECT jsonb_build_object(
           'title', coalesce($1, $2), 'made_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), 'found', (SELECT count(*) FROM entries),
           'costs', (SELECT coalesce(jsonb_agg(jsonb_build_object('currency', c.currency, 'known', c.known, 'unknown', c.unknown) ORDER BY c.currency), '[]')
                       FROM (SELECT e.currency, trim_scale(sum(e.known_cost))::text AS known, count(*) FILTER (WHERE e.cost_source = 'unknown') AS unknown
                               FROM entries e GROUP BY e.currency) c),
           'entries', (SELECT coalesce(jsonb_agg(jsonb_build_object(
             'job_id', s.job_id, 'asset_id', s.asset_id, 'shot', coalesce(a.shot, j.shot), 'prompt', coalesce(a.prompt, j.prompt), 'provider', a.provider,
             'model', coalesce(a.model, j.model), 'seed', coalesce(a.seed, j.seed::bigint), 'status', coalesce(j.status::text, 'succeeded'), 'error_code', j.error_code,
             'cost', CASE WHEN s.cost_source = 'unknown' THEN 'unknown' ELSE trim_scale(s.known_cost)::text || ' ' || s.currency END,
             'refusals', (SELECT count(*) FROM image_gen.attempts t WHERE t.job_id = s.job_id AND t.status = 'refused'),
             'width', a.width, 'height', a.height, 'blank', a.blank, 'disclosure', a.disclosure,
             'marked', a.content_credentials IS NOT NULL OR a.digital_source_type IS NOT NULL,
             'picture', (SELECT jsonb_build_object('content_type', p.content_type, 'base64', translate(encode(p.bytes, 'base64'), E'\n', ''))
                           FROM (SELECT t.content_type, t.bytes FROM image_gen_internal.thumbnails t WHERE t.sha256 = a.sha256
                                 UNION ALL
                                 SELECT b.content_type, b.bytes FROM image_gen_internal.blobs b
                                  WHERE b.sha256 = a.sha256 AND a.byte_size <= 40000 AND greatest(a.width, a.height) <= 512
                                 LIMIT 1) p)) ORDER BY s.place), '[]')
                         FROM shown s LEFT JOIN jobs j ON j.id = s.job_id LEFT JOIN image_gen.campaign_assets a ON a.id = s.asset_id))
    INTO sheet;
  RETURN image_gen_internal.render_contact_sheet(sheet);
END $$;
COMMENT ON FUNCTION image_gen.contact_sheet(text, text, integer) IS
'The images of a campaign or of a batch as one page of HTML that needs nothing else: small copies (image_gen.thumbnails), shots, prompts, models, seeds, costs, how each job stands and how often it was refused; also jobs
without an image. It is ASCII, loads nothing, runs no script, and shows what the caller may see. at_most: 1 to 500 images; the page says when there are more. Errors: 22004, 22023.';

SET LOCAL search_path = image_gen, pg_temp;
