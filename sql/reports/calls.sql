-- What an attempt counts for in reports.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE VIEW image_gen_internal.counted_attempts WITH (security_invoker = true) AS
SELECT a.*,
       CASE WHEN a.status = 'succeeded' THEN (SELECT count(*) FROM image_gen.campaign_assets c WHERE c.job_id = a.job_id AND c.attempt = a.number) ELSE 0 END AS images,
       a.sends::bigint AS calls,
       -- After a call that made its images, the next one is for others.
       CASE WHEN a.number = 1 OR EXISTS (SELECT FROM image_gen.attempts e WHERE e.job_id = a.job_id AND e.number = a.number - 1 AND e.status = 'succeeded')
            THEN greatest(a.sends - 1, 0) ELSE a.sends END::bigint AS retries
  FROM image_gen.attempts a WHERE a.status <> 'running';
COMMENT ON VIEW image_gen_internal.counted_attempts IS
'Attempts that are over, with the images that each made, the calls that it stands for (those that were turned away in one outage are one attempt), and how many of them were made again.';

SET LOCAL search_path = image_gen, pg_temp;
