-- Requests that an earlier job has answered: reuse => interval.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.earlier_jobs(caller regrole, fingerprints bytea[], since timestamptz[])
RETURNS TABLE (id text, status text, model text, estimated_seconds numeric, created_at timestamptz, warnings jsonb, seed bigint, batch text, number integer)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT j.id::text, j.status::text, j.model, j.estimated_seconds, j.created_at, j.warnings, j.seed::bigint, j.batch, w.n::integer
    FROM unnest(fingerprints, since) WITH ORDINALITY AS w(fingerprint, since, n)
   CROSS JOIN LATERAL (
     SELECT o.* FROM image_gen.jobs o
      WHERE o.owner = caller AND o.fingerprint = w.fingerprint AND o.fingerprint IS NOT NULL AND o.created_at >= w.since
        AND (o.status IN ('queued', 'running')
             -- An image that cannot be had any more is made again.
             OR o.status = 'succeeded'
                AND EXISTS (SELECT FROM image_gen.campaign_assets a
                             WHERE a.job_id = o.id
                               AND (a.mirror_url IS NOT NULL OR a.url_expires_at IS NULL OR a.url_expires_at > clock_timestamp() + interval '5 minutes'
                                    OR EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = a.sha256))))
      ORDER BY o.seq DESC LIMIT 1) j;
END $$;
COMMENT ON FUNCTION image_gen_internal.earlier_jobs(regrole, bytea[], timestamptz[]) IS 'The newest job of a role for each of these fingerprints since then, whose image is there or under way, by number.';

CREATE FUNCTION image_gen_internal.record_reuses(ids text[], metadata jsonb[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.reuses (job_id, owner, saved, currency, metadata)
  SELECT j.id, j.owner, coalesce(j.billed_cost, j.estimated_cost), j.currency, i.metadata FROM unnest($1, $2) AS i(id, metadata) JOIN image_gen.jobs j ON j.id = i.id;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_reuses(text[], jsonb[]) IS 'Writes down which jobs have served another call.';

SET LOCAL search_path = image_gen, pg_temp;
