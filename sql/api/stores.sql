-- Where images last: URLs and bytes of what is in a store, what is still to be copied, and moving from one store to another.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE VIEW image_gen.copies WITH (security_invoker = true) AS
SELECT c.asset_id, CASE WHEN c.lost THEN 'lost' WHEN c.last_error IS NOT NULL THEN 'failing' ELSE 'waiting' END AS state, c.tries, c.due_at,
       nullif(c.expires_at, 'infinity') AS url_expires_at, c.last_error, c.created_at
  FROM image_gen_internal.copy_queue c;
COMMENT ON VIEW image_gen.copies IS
'Images that are to be copied to image_gen.asset_store and are not there yet: waiting, failing (tried again at due_at; last_error says why) or lost (nothing is at their URL any more). A copy that is there
leaves no row: campaign_assets.mirrored_at says since when.';

CREATE VIEW image_gen.expiring_assets WITH (security_invoker = true) AS
SELECT a.id, a.job_id, a.campaign, a.shot, a.provider, a.url, a.url_expires_at, a.url_expires_at - clock_timestamp() AS expires_in,
       CASE WHEN c.lost THEN 'lost' WHEN a.url_expires_at <= clock_timestamp() THEN 'expired' WHEN c.asset_id IS NULL THEN 'not_queued'
            WHEN c.last_error IS NOT NULL THEN 'failing' ELSE 'waiting' END AS state, c.tries, c.last_error
  FROM image_gen.campaign_assets a LEFT JOIN image_gen_internal.copy_queue c ON c.asset_id = a.id
 WHERE a.mirror_url IS NULL AND a.url_expires_at IS NOT NULL AND NOT EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = a.sha256);
COMMENT ON VIEW image_gen.expiring_assets IS
'Images whose only place is a provider''s URL that ends: waiting for a copy, failing to be copied, not_queued (no store, or made before there was one: see copy_assets()), expired, or lost. Those of the caller.';

CREATE VIEW image_gen.stores AS
SELECT s.id, s.address, o.objects, o.bytes, o.to_remove, o.last_error, s.created_at
  FROM image_gen_internal.stores s
 CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE d.doomed_at IS NULL) AS objects, coalesce(sum(d.byte_size) FILTER (WHERE d.doomed_at IS NULL), 0) AS bytes,
                            count(*) FILTER (WHERE d.doomed_at IS NOT NULL) AS to_remove, max(d.last_error) AS last_error
                       FROM image_gen_internal.stored_objects d WHERE d.store = s.id) o;
COMMENT ON VIEW image_gen.stores IS 'The stores that were ever used: how many objects and bytes are in each, how many are to be removed, and what went wrong with that. For administrators.';

CREATE FUNCTION image_gen_internal.find_object(asset_id bigint, OUT found_id bigint, OUT asset_url text, OUT asset_expires_at timestamptz, OUT address text, OUT name text, OUT byte_size bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
BEGIN
  SELECT a.id, a.url, a.url_expires_at, s.address, o.name, o.byte_size INTO found_id, asset_url, asset_expires_at, address, name, byte_size
    FROM image_gen.campaign_assets a
    LEFT JOIN image_gen_internal.stored_objects o ON o.sha256 = a.sha256 AND o.doomed_at IS NULL
    LEFT JOIN image_gen_internal.stores s ON s.id = o.store
   WHERE a.id = asset_id AND (a.owner = caller OR pg_has_role(caller, 'image_gen_admin', 'member'))
   ORDER BY o.id DESC LIMIT 1;
END $$;
COMMENT ON FUNCTION image_gen_internal.find_object(bigint) IS 'An asset of the caller (or, for administrators, of any role), and where its copy is.';

CREATE FUNCTION image_gen.asset_url(asset_id bigint, expires interval DEFAULT '1 hour') RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  seconds double precision := extract(epoch FROM expires);
  found record;
BEGIN
  IF seconds IS NULL OR seconds < 1 OR seconds > 604800 THEN
    RAISE EXCEPTION 'expires is %', coalesce(expires::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time from one second to seven days.';
  END IF;
  SELECT f.* INTO found FROM image_gen_internal.find_object(asset_id) f;
  IF found.found_id IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_asset(asset_id);
  ELSIF found.name IS NOT NULL THEN
    RETURN image_gen_internal.sign_object(found.address, found.name, seconds);
  ELSIF found.asset_url ~ '^https?://' AND coalesce(found.asset_expires_at, 'infinity') > clock_timestamp() THEN
    RETURN found.asset_url;
  END IF;
  RAISE EXCEPTION 'asset % is in no store', asset_id USING ERRCODE = 'object_not_in_prerequisite_state',
    HINT = 'image_gen.asset_bytes(id) has its bytes where they are kept in the database; image_gen.copies says whether it is still to be copied.';
END $$;
COMMENT ON FUNCTION image_gen.asset_url(bigint, interval) IS
'A URL with which anyone can read the image of an asset for so long (at most seven days), without a key: signed for its store. While there is no copy, the provider''s own URL. Errors: 42704, 55000.';

CREATE FUNCTION image_gen.asset_bytes(asset_id bigint) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kept bytea;
BEGIN
  SELECT b.bytes INTO kept FROM image_gen.campaign_assets a JOIN image_gen_internal.blobs b ON b.sha256 = a.sha256 WHERE a.id = $1;
  RETURN coalesce(kept, image_gen_internal.stored_bytes($1));
END $$;
COMMENT ON FUNCTION image_gen.asset_bytes(bigint) IS
'The bytes of an asset: from the database, or else from its store, which may take up to half a minute. NULL when they are in neither (image_gen.keep_bytes, image_gen.asset_store). Error 58030 when the store cannot be read.';

CREATE FUNCTION image_gen_internal.stored_bytes(asset_id bigint) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found record;
BEGIN
  SELECT f.* INTO found FROM image_gen_internal.find_object(asset_id) f;
  IF found.name IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN image_gen_internal.read_object(found.address, found.name, found.byte_size);
END $$;
COMMENT ON FUNCTION image_gen_internal.stored_bytes(bigint) IS 'The bytes of an asset of the caller, from its store; NULL when it is in none.';

CREATE FUNCTION image_gen.store_image(image bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  looked record;
BEGIN
  IF image IS NULL THEN
    RAISE EXCEPTION 'image is NULL' USING ERRCODE = 'null_value_not_allowed', HINT = 'Give the bytes of a PNG, JPEG, WebP or GIF.';
  END IF;
  SELECT i.* INTO looked FROM image_gen_internal.inspect_image(image) i;
  INSERT INTO image_gen.stored_images (owner, sha256, content_type, width, height, byte_size)
  VALUES (caller, looked.sha256, looked.content_type, looked.width, looked.height, octet_length(image)) ON CONFLICT ON CONSTRAINT stored_images_pkey DO NOTHING;
  LOOP
    PERFORM image_gen_internal.store_blob(looked.sha256, looked.content_type, image);
    -- Those that are there already may be about to go: held until COMMIT, or written again.
    PERFORM FROM image_gen_internal.blobs b WHERE b.sha256 = looked.sha256 FOR KEY SHARE;
    EXIT WHEN FOUND;
  END LOOP;
  RETURN looked.reference;
END $$;
COMMENT ON FUNCTION image_gen.store_image(bytea) IS
'Keeps an image of one''s own (PNG, JPEG, WebP or GIF of at most 25 MB) for jobs, and returns its reference: image => image_gen.store_image(...), or in any later call. The same image is kept once. drop_image() removes
it. Errors: 22023 for what is no image, 54000 for one that is too large.';

CREATE FUNCTION image_gen.drop_image(reference text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hash text := CASE WHEN drop_image.reference LIKE 'image-gen:sha256:%' THEN substr(drop_image.reference, 18) END;
BEGIN
  DELETE FROM image_gen.stored_images i WHERE i.sha256 = hash AND i.owner = image_gen_internal.caller();
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- As images that came with jobs: they go when those jobs were canceled or pruned. The first row is seen to at once.
  INSERT INTO image_gen_internal.job_inputs (sha256, job_id)
  SELECT hash, u.job FROM (SELECT 'dropped' AS job
                           UNION ALL
                           SELECT q.job_id FROM image_gen_internal.queue q JOIN image_gen.jobs j ON j.id = q.job_id
                            WHERE q.owner = image_gen_internal.caller() AND strpos(j.parameters::text, hash) > 0) u
  ON CONFLICT ON CONSTRAINT job_inputs_pkey DO NOTHING;
  RETURN true;
END $$;
COMMENT ON FUNCTION image_gen.drop_image(text) IS
'Removes an image that store_image() has kept for the caller; false when there is none. Its bytes go when nothing else has them: no other role, no asset, and no job in the queue.';

CREATE FUNCTION image_gen.copy_assets(at_most bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  address text := current_setting('image_gen.asset_store', true);
  target integer;
  queued bigint;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF coalesce(address, '') = '' THEN
    RAISE EXCEPTION 'there is no store to copy to' USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Set image_gen.asset_store first, and reload.';
  ELSIF at_most < 1 THEN
    RAISE EXCEPTION 'at_most is %', at_most USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number from 1 up, or leave it out.';
  END IF;
  target := image_gen_internal.record_store(image_gen_internal.store_identity(address), address);
  WITH here AS (
    SELECT o.sha256 FROM image_gen_internal.stored_objects o WHERE o.store = target AND o.doomed_at IS NULL
  ), elsewhere AS (
    -- What is in another store is copied once, however many assets have it.
    SELECT min(a.id) AS id, o.id AS moves_from
      FROM image_gen_internal.stored_objects o JOIN image_gen.campaign_assets a ON a.sha256 = o.sha256
     WHERE o.store <> target AND o.doomed_at IS NULL GROUP BY o.id
  ), missing AS (
    SELECT e.id, e.moves_from, NULL::timestamptz AS ends FROM elsewhere e
    UNION ALL
    SELECT a.id, NULL, a.url_expires_at FROM image_gen.campaign_assets a
     WHERE a.mirrored_at IS NULL AND NOT EXISTS (SELECT FROM image_gen_internal.stored_objects o WHERE o.sha256 = a.sha256 AND o.store <> target AND o.doomed_at IS NULL)
       AND (a.url_expires_at IS NULL OR a.url_expires_at > clock_timestamp() OR EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = a.sha256))
  )
  INSERT INTO image_gen_internal.copy_queue AS c (asset_id, moves_from, expires_at)
  SELECT DISTINCT ON (m.id) m.id, m.moves_from, coalesce(m.ends, 'infinity') FROM missing m ORDER BY m.id, m.moves_from LIMIT at_most
  ON CONFLICT ON CONSTRAINT copy_queue_pkey DO UPDATE SET due_at = clock_timestamp(), lost = false, tries = 0, moves_from = excluded.moves_from;
  GET DIAGNOSTICS queued = ROW_COUNT;
  PERFORM image_gen_internal.tell_worker('copies');
  RETURN queued;
END $$;
COMMENT ON FUNCTION image_gen.copy_assets(bigint) IS
'Queues copies of all images that are not in image_gen.asset_store (at most so many), and returns how many: those made before there was a store, those whose copy failed, and those in another store, where each is
removed after its copy was read back. Can be called again at any time; what is copied stays copied. For administrators.';

CREATE FUNCTION image_gen.sweep_store(remove boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  address text := current_setting('image_gen.asset_store', true);
  sweep bigint;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF coalesce(address, '') = '' THEN
    RAISE EXCEPTION 'there is no store to sweep' USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Set image_gen.asset_store first, and reload.';
  END IF;
  INSERT INTO image_gen.store_sweeps (store, remove, requested_by)
  VALUES (image_gen_internal.record_store(image_gen_internal.store_identity(address), address), coalesce(sweep_store.remove, false), image_gen_internal.caller()) RETURNING id INTO sweep;
  PERFORM image_gen_internal.tell_worker('copies');
  RETURN sweep;
END $$;
COMMENT ON FUNCTION image_gen.sweep_store(boolean) IS
'Compares image_gen.asset_store with the database, both ways, and returns the number of the sweep, which image_gen.store_sweeps shows. What the database says is there and is not is copied again, from where it still is. What is
there and no row has (older than an hour) is listed in image_gen.store_orphans; remove: that of it which jobs of this very database have made is removed, and nothing else. For administrators.';

SET LOCAL search_path = image_gen, pg_temp;
