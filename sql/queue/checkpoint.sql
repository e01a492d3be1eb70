-- What was accepted, durable before the first poll.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.checkpoint(this_epoch bigint, seqs bigint[], numbers integer[], remote_ids text[], poll_urls text[], result_urls text[], cancel_urls text[],
                                      http_statuses integer[], amounts numeric[], claimed numeric[], sources text[], currencies text[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids text[] := (image_gen_internal.lock_in_flight(this_epoch, seqs)).ids;
  places tid[] := image_gen_internal.lock_attempts(ids, numbers);
BEGIN
  UPDATE image_gen.attempts a
     SET remote_id = i.remote_id, poll_url = i.poll_url, result_url = i.result_url, cancel_url = i.cancel_url, http_status = i.http_status,
         billed_cost = i.amount, claimed_cost = i.claimed, cost_source = coalesce(i.source, 'unknown'), currency = coalesce(i.currency, a.currency)
    FROM unnest(places, remote_ids, poll_urls, result_urls, cancel_urls, http_statuses, amounts, claimed, sources, currencies)
         AS i(place, remote_id, poll_url, result_url, cancel_url, http_status, amount, claimed, source, currency)
   WHERE a.ctid = i.place;
  PERFORM image_gen_internal.charge_jobs(ids);
  PERFORM image_gen_internal.post_charges();
  RETURN ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
END $$;
COMMENT ON FUNCTION image_gen_internal.checkpoint(bigint, bigint[], integer[], text[], text[], text[], text[], integer[], numeric[], numeric[], text[], text[]) IS
'Writes down under which ids providers have accepted tasks; returns the jobs that are this epoch''s.';

SET LOCAL search_path = image_gen, pg_temp;
