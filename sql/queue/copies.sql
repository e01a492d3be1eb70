-- Copies of images: what is queued with the images themselves, what the process that copies takes, and what came of it. No copy
-- changes a job, and none makes an image again.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.record_store(identity text, address text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_id integer;
BEGIN
  SELECT s.id INTO found_id FROM image_gen_internal.stores s WHERE s.identity = $1 AND s.address = $2;
  IF found_id IS NULL THEN
    INSERT INTO image_gen_internal.stores AS s (identity, address) VALUES ($1, $2)
    ON CONFLICT ON CONSTRAINT stores_identity_key DO UPDATE SET address = excluded.address RETURNING s.id INTO found_id;
  END IF;
  RETURN found_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_store(text, text) IS 'The number of a store, which is written down when it is new or opened in another way.';

CREATE FUNCTION image_gen_internal.queue_copies(ids text[], positions integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.copy_queue (asset_id, policy, expires_at)
  SELECT a.id, coalesce(j.policy, 'both'), coalesce(a.url_expires_at, 'infinity')
    FROM unnest(ids, positions) AS i(id, position)
   CROSS JOIN LATERAL (SELECT c.id, c.url_expires_at FROM image_gen.campaign_assets c WHERE c.job_id = i.id AND c.position = i.position AND c.mirrored_at IS NULL OFFSET 0) a
   CROSS JOIN LATERAL (SELECT o.parameters ->> 'store' AS policy FROM image_gen.jobs o WHERE o.id = i.id OFFSET 0) j
   WHERE j.policy IS DISTINCT FROM 'url'
  ON CONFLICT ON CONSTRAINT copy_queue_pkey DO NOTHING;
  IF FOUND THEN
    PERFORM image_gen_internal.tell_worker('copies');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.queue_copies(text[], integer[]) IS 'Queues copies of images in the transaction that writes their assets.';

CREATE FUNCTION image_gen_internal.record_uploads(ids text[], positions integer[], identities text[], addresses text[], names text[], urls text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WITH opened AS MATERIALIZED (
    -- Nearly always one.
    SELECT s.identity, s.address, image_gen_internal.record_store(s.identity, s.address) AS id
      FROM (SELECT DISTINCT u.identity, u.address FROM unnest(identities, addresses) AS u(identity, address)) s
  ), uploaded AS MATERIALIZED (
    SELECT s.id AS store, u.name, u.url, a.id AS asset, a.sha256, a.byte_size, a.content_type
      FROM unnest(ids, positions, identities, addresses, names, urls) AS u(id, position, identity, address, name, url)
      JOIN opened s ON s.identity = u.identity AND s.address = u.address
     CROSS JOIN LATERAL (SELECT c.id, c.sha256, c.byte_size, c.content_type FROM image_gen.campaign_assets c WHERE c.job_id = u.id AND c.position = u.position OFFSET 0) a
  ), objects AS (
    INSERT INTO image_gen_internal.stored_objects AS o (store, name, sha256, byte_size, content_type, instance)
    -- Jobs of one round can have made the same image, under the same name.
    SELECT DISTINCT ON (u.store, u.name) u.store, u.name, u.sha256, u.byte_size, u.content_type, image_gen_internal.instance_id() FROM uploaded u ORDER BY u.store, u.name
    ON CONFLICT ON CONSTRAINT stored_objects_store_name_key DO UPDATE SET doomed_at = NULL, last_error = NULL WHERE o.doomed_at IS NOT NULL
  )
  UPDATE image_gen.campaign_assets a SET mirror_url = u.url, mirrored_at = clock_timestamp() FROM uploaded u WHERE a.id = u.asset;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_uploads(text[], integer[], text[], text[], text[], text[]) IS
'Writes down that images were in a store, and read back, before their jobs ended: an element for each image, in the transaction that ends the jobs.';

CREATE FUNCTION image_gen_internal.object_place(hash text, OUT address text, OUT name text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT s.address, o.name INTO address, name
    FROM image_gen_internal.stored_objects o JOIN image_gen_internal.stores s ON s.id = o.store
   WHERE o.sha256 = hash AND o.doomed_at IS NULL ORDER BY o.id DESC LIMIT 1;
END $$;
COMMENT ON FUNCTION image_gen_internal.object_place(text) IS 'Where an image is in a store.';

CREATE FUNCTION image_gen_internal.next_copy_in() RETURNS double precision
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT min(greatest(extract(epoch FROM d.due_at - clock_timestamp()), 0))
            FROM (SELECT min(c.due_at) AS due_at FROM image_gen_internal.copy_queue c WHERE NOT c.lost
                  UNION ALL
                  SELECT min(w.due_at) FROM image_gen.store_sweeps w WHERE w.finished_at IS NULL
                  UNION ALL
                  SELECT min(o.due_at) FROM image_gen_internal.stored_objects o WHERE o.doomed_at IS NOT NULL AND o.instance = image_gen_internal.instance_id()) d
           WHERE d.due_at IS NOT NULL);
END $$;
COMMENT ON FUNCTION image_gen_internal.next_copy_in() IS 'In how many seconds the next image is to be copied, or removed from a store; NULL when there is none.';

CREATE FUNCTION image_gen_internal.take_copies(this_store integer, busy bigint[], busy_hashes text[], most integer)
RETURNS TABLE (asset_id bigint, job_id text, "position" integer, campaign text, shot text, ticket text, provider text, model text, made_on text, url text, base_url text,
               sha256 text, content_type text, kept boolean, name text, moves_from bigint, from_address text, from_name text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- What a copy of this database has stored is the original's as well.
  IF most <= 0 OR image_gen_internal.fence_reason() IS NOT NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH first AS (
    -- Of a queue of any length so many are looked at: those whose URL ends first, and, where these were put off, those that wait longest.
    (SELECT e.asset_id, e.expires_at, e.due_at FROM image_gen_internal.copy_queue e WHERE NOT e.lost ORDER BY e.expires_at, e.asset_id LIMIT 200)
    UNION
    (SELECT w.asset_id, w.expires_at, w.due_at FROM image_gen_internal.copy_queue w WHERE NOT w.lost AND w.due_at <= clock_timestamp() ORDER BY w.due_at LIMIT 50)
  ), due AS (
    SELECT c.asset_id, a.sha256
      FROM first c JOIN image_gen.campaign_assets a ON a.id = c.asset_id
     WHERE c.due_at <= clock_timestamp() AND c.asset_id <> ALL (busy) AND (a.sha256 IS NULL OR a.sha256 <> ALL (busy_hashes))
       -- An object of that name may just be on its way out.
       AND NOT EXISTS (SELECT FROM image_gen_internal.stored_objects o
                        WHERE o.sha256 = a.sha256 AND o.store = this_store AND o.doomed_at IS NOT NULL AND o.instance = image_gen_internal.instance_id())
     ORDER BY c.expires_at, c.asset_id LIMIT most
  ), chosen AS (
    -- The same image once at a time.
    SELECT min(d.asset_id) AS asset_id FROM due d GROUP BY coalesce(d.sha256, d.asset_id::text)
  ), taken AS (
    -- Before it is begun: a try that ends its process has been one, too.
    UPDATE image_gen_internal.copy_queue c
       SET tries = c.tries + 1,
           due_at = clock_timestamp() + least(make_interval(secs => least(5 * 2 ^ least(c.tries, 10), 900)),
                      CASE WHEN c.expires_at < 'infinity' AND c.expires_at > clock_timestamp() THEN greatest((c.expires_at - clock_timestamp()) / 4, interval '1 second') END)
     WHERE c.asset_id IN (SELECT h.asset_id FROM chosen h)
    RETURNING c.asset_id, c.expires_at, c.moves_from)
  SELECT a.id, a.job_id, a.position::integer, a.campaign, a.shot, a.ticket, a.provider, a.model, to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), a.url, p.base_url, a.sha256,
         a.content_type, EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = a.sha256),
         (SELECT o.name FROM image_gen_internal.stored_objects o WHERE o.sha256 = a.sha256 AND o.store = this_store AND o.doomed_at IS NULL ORDER BY o.id LIMIT 1),
         o.id, s.address, o.name
    FROM taken t
    JOIN image_gen.campaign_assets a ON a.id = t.asset_id
    LEFT JOIN image_gen.providers p ON p.id = a.provider
    LEFT JOIN image_gen_internal.stored_objects o ON o.id = t.moves_from
    LEFT JOIN image_gen_internal.stores s ON s.id = o.store
   ORDER BY t.expires_at, t.asset_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.take_copies(integer, bigint[], text[], integer) IS
'Takes images that are to be copied, those first whose URL ends first, and none that are under way (busy, or of busy_hashes). name: what the store has it as already. The next try is written down before this one.';

CREATE FUNCTION image_gen_internal.record_copies(this_store integer, ids bigint[], names text[], urls text[], hashes text[], sizes bigint[], types text[], widths integer[], heights integer[],
                                   were_there boolean[], moved bigint[], keeps_bytes boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  idle text[];
BEGIN
  INSERT INTO image_gen_internal.stored_objects AS o (store, name, sha256, byte_size, content_type, instance, doomed_at)
  -- An asset that was deleted or erased meanwhile has no use for it.
  SELECT this_store, i.name, i.hash, i.size, i.type, image_gen_internal.instance_id(),
         CASE WHEN NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.id = i.id AND a.erased_at IS NULL OR a.sha256 = i.hash) THEN clock_timestamp() END
    FROM unnest(ids, names, hashes, sizes, types) AS i(id, name, hash, size, type)
  ON CONFLICT ON CONSTRAINT stored_objects_store_name_key DO UPDATE SET doomed_at = NULL, last_error = NULL WHERE o.doomed_at IS NOT NULL;
  UPDATE image_gen.campaign_assets a
     SET mirror_url = i.url, mirrored_at = clock_timestamp(), url = CASE WHEN c.policy = 'copy' AND a.url ~ '^https?://' THEN i.url ELSE a.url END,
         url_expires_at = CASE WHEN c.policy = 'copy' THEN NULL ELSE a.url_expires_at END,
         sha256 = coalesce(a.sha256, i.hash), byte_size = coalesce(a.byte_size, i.size), content_type = coalesce(a.content_type, i.type),
         width = coalesce(a.width, i.width), height = coalesce(a.height, i.height)
    FROM unnest(ids, urls, hashes, sizes, types, widths, heights) AS i(id, url, hash, size, type, width, height)
    LEFT JOIN image_gen_internal.copy_queue c ON c.asset_id = i.id
   WHERE a.id = i.id AND a.erased_at IS NULL;
  -- Others with the same image find it where it is now.
  UPDATE image_gen.campaign_assets a SET mirror_url = i.url
    FROM unnest(urls, hashes, moved) AS i(url, hash, moved) WHERE i.moved IS NOT NULL AND a.sha256 = i.hash AND a.mirrored_at IS NOT NULL AND a.mirror_url <> i.url;
  -- What was there before may be the very object that it moves from, under another address.
  UPDATE image_gen_internal.stored_objects o SET doomed_at = clock_timestamp(), due_at = clock_timestamp()
    FROM unnest(moved, were_there) AS i(moved, was_there) WHERE o.id = i.moved AND NOT i.was_there AND o.store <> this_store;
  DELETE FROM image_gen_internal.stored_objects o USING unnest(moved, were_there) AS i(moved, was_there) WHERE o.id = i.moved AND i.was_there AND o.store <> this_store;
  DELETE FROM image_gen_internal.copy_queue c WHERE c.asset_id = ANY (ids);
  IF NOT keeps_bytes THEN
    -- They were here because the store was out. A session that is just queueing a job with one of them holds it.
    idle := ARRAY(SELECT l.sha256 FROM image_gen_internal.blobs l WHERE l.sha256 = ANY (hashes) ORDER BY l.sha256 FOR UPDATE SKIP LOCKED);
    DELETE FROM image_gen_internal.blobs b
     WHERE b.sha256 = ANY (idle)
       AND NOT EXISTS (SELECT FROM image_gen_internal.job_inputs i WHERE i.sha256 = b.sha256)
       AND NOT EXISTS (SELECT FROM image_gen.stored_images s WHERE s.sha256 = b.sha256);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_copies(integer, bigint[], text[], text[], text[], bigint[], text[], integer[], integer[], boolean[], bigint[], boolean) IS
'keeps_bytes: the database keeps all bytes as well. Writes down copies that were read back and found right. moved: the objects that they replace, which are removed unless the copy was there before.';

CREATE FUNCTION image_gen_internal.record_failed_copies(ids bigint[], errors text[], gone boolean[]) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen_internal.copy_queue c
     SET last_error = left(i.error, 500), lost = i.gone AND (c.expires_at <= clock_timestamp() OR c.tries >= 10)
    FROM unnest(ids, errors, gone) AS i(id, error, gone) WHERE c.asset_id = i.id;
  DELETE FROM image_gen_internal.copy_queue c WHERE c.asset_id = ANY (ids) AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.id = c.asset_id);
  RETURN QUERY UPDATE image_gen_internal.copy_queue c SET told = true
                WHERE c.expires_at <= clock_timestamp() AND NOT c.told AND c.asset_id = ANY (ids) RETURNING c.asset_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_failed_copies(bigint[], text[], boolean[]) IS
'Writes down why images were not copied. gone: nothing is at their URL any more. Returns those whose URL has ended and of which that was not said yet.';

CREATE FUNCTION image_gen_internal.take_doomed(busy bigint[], most integer) RETURNS TABLE (id bigint, address text, name text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF most <= 0 OR image_gen_internal.fence_reason() IS NOT NULL THEN
    RETURN;
  END IF;
  -- An asset with the same image came meanwhile.
  UPDATE image_gen_internal.stored_objects o SET doomed_at = NULL
   WHERE o.doomed_at IS NOT NULL AND o.due_at <= clock_timestamp() AND o.id <> ALL (busy)
     AND EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = o.sha256)
     AND NOT EXISTS (SELECT FROM image_gen_internal.stored_objects e WHERE e.sha256 = o.sha256 AND e.doomed_at IS NULL);
  RETURN QUERY
  WITH taken AS (
    UPDATE image_gen_internal.stored_objects o
       SET tries = o.tries + 1, due_at = clock_timestamp() + make_interval(secs => least(5 * 2 ^ least(o.tries, 10), 3600))
     WHERE o.id IN (SELECT d.id FROM image_gen_internal.stored_objects d
                     WHERE d.doomed_at IS NOT NULL AND d.due_at <= clock_timestamp() AND d.id <> ALL (busy) AND d.instance = image_gen_internal.instance_id()
                     ORDER BY d.due_at LIMIT most)
    RETURNING o.id, o.store, o.name)
  SELECT t.id, s.address, t.name FROM taken t JOIN image_gen_internal.stores s ON s.id = t.store;
END $$;
COMMENT ON FUNCTION image_gen_internal.take_doomed(bigint[], integer) IS 'Takes objects that no asset has any more, to be removed from their stores: those that this database has stored itself.';

CREATE FUNCTION image_gen_internal.record_removed(ids bigint[], errors text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen_internal.stored_objects o SET last_error = left(i.error, 500) FROM unnest(ids, errors) AS i(id, error) WHERE o.id = i.id AND i.error IS NOT NULL;
  DELETE FROM image_gen_internal.stored_objects o USING unnest(ids, errors) AS i(id, error) WHERE o.id = i.id AND i.error IS NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_removed(bigint[], text[]) IS 'Writes down what came of removing objects: without an error they are gone.';

CREATE FUNCTION image_gen_internal.take_sweep(this_store integer, OUT id bigint, OUT after_name text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF image_gen_internal.fence_reason() IS NOT NULL THEN
    RETURN;
  END IF;
  -- One of another store waits until that is the store again.
  UPDATE image_gen.store_sweeps w SET due_at = clock_timestamp() + interval '1 minute'
   WHERE w.id = (SELECT s.id FROM image_gen.store_sweeps s WHERE s.finished_at IS NULL AND s.store = this_store AND s.due_at <= clock_timestamp() ORDER BY s.id LIMIT 1)
  RETURNING w.id, w.after_name INTO id, after_name;
  UPDATE image_gen.store_sweeps w SET due_at = clock_timestamp() + interval '1 hour' WHERE w.finished_at IS NULL AND w.store <> this_store AND w.due_at <= clock_timestamp();
END $$;
COMMENT ON FUNCTION image_gen_internal.take_sweep(integer) IS 'The sweep of a store that is to go on, and after which name; NULL when there is none.';

CREATE FUNCTION image_gen_internal.record_sweep(this_sweep bigint, names text[], sizes bigint[], modified double precision[], whole boolean, error text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sweep image_gen.store_sweeps;
  since timestamptz := (SELECT max(h.allowed_at) FROM image_gen_internal.instance h);
  found_orphans bigint;
  dooms bigint := 0;
BEGIN
  IF error IS NOT NULL THEN
    UPDATE image_gen.store_sweeps w SET last_error = left(error, 500) WHERE w.id = this_sweep;
    RETURN;
  END IF;
  SELECT w.* INTO sweep FROM image_gen.store_sweeps w WHERE w.id = this_sweep AND w.finished_at IS NULL;
  UPDATE image_gen_internal.stored_objects o SET seen_at = clock_timestamp() FROM unnest(names) AS n(name) WHERE o.store = sweep.store AND o.name = n.name;
  INSERT INTO image_gen.store_orphans AS r (store, name, byte_size, modified_at)
  SELECT sweep.store, n.name, n.size, to_timestamp(n.modified) FROM unnest(names, sizes, modified) AS n(name, size, modified)
   -- One that is just being copied has no row yet.
   WHERE to_timestamp(n.modified) < sweep.requested_at - interval '1 hour'
     AND NOT EXISTS (SELECT FROM image_gen_internal.stored_objects o WHERE o.store = sweep.store AND o.name = n.name)
  ON CONFLICT ON CONSTRAINT store_orphans_pkey DO UPDATE SET found_at = excluded.found_at, byte_size = excluded.byte_size, modified_at = excluded.modified_at;
  GET DIAGNOSTICS found_orphans = ROW_COUNT;
  IF sweep.remove THEN
    -- Made by a job of this database, since it is the one that is allowed to work: not those of the original of a copy, and nothing of others.
    INSERT INTO image_gen_internal.stored_objects (store, name, sha256, byte_size, instance, doomed_at)
    SELECT r.store, r.name, '', r.byte_size, image_gen_internal.instance_id(), clock_timestamp()
      FROM image_gen.store_orphans r JOIN unnest(names) AS n(name) ON n.name = r.name
      JOIN image_gen.jobs j ON j.id = substring(r.name FROM 'gen_[0-9A-Z]{26}')
     WHERE r.store = sweep.store AND r.modified_at >= since AND j.created_at >= since
    ON CONFLICT ON CONSTRAINT stored_objects_store_name_key DO NOTHING;
    GET DIAGNOSTICS dooms = ROW_COUNT;
  END IF;
  UPDATE image_gen.store_sweeps w
     SET seen = w.seen + cardinality(names), orphans = w.orphans + found_orphans, removed = w.removed + dooms, after_name = coalesce(names[cardinality(names)], w.after_name),
         due_at = clock_timestamp(), last_error = NULL
   WHERE w.id = sweep.id;
  IF whole THEN
    PERFORM image_gen_internal.finish_sweep(sweep.id);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_sweep(bigint, text[], bigint[], double precision[], boolean, text) IS
'Compares a page of what is in a store (names, in order) with what the database says; whole: it was the last one.';

CREATE FUNCTION image_gen_internal.finish_sweep(this_sweep bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sweep image_gen.store_sweeps;
  lost text[];
BEGIN
  UPDATE image_gen.store_sweeps w SET finished_at = clock_timestamp() WHERE w.id = this_sweep RETURNING w.* INTO sweep;
  DELETE FROM image_gen.store_orphans r WHERE r.store = sweep.store AND r.found_at < sweep.requested_at;
  WITH gone AS (
    DELETE FROM image_gen_internal.stored_objects o
     WHERE o.store = sweep.store AND o.doomed_at IS NULL AND o.stored_at < sweep.requested_at AND (o.seen_at IS NULL OR o.seen_at < sweep.requested_at)
    RETURNING o.sha256)
  SELECT array_agg(DISTINCT g.sha256) INTO lost FROM gone g
   WHERE NOT EXISTS (SELECT FROM image_gen_internal.stored_objects o WHERE o.sha256 = g.sha256 AND o.doomed_at IS NULL AND o.store = sweep.store AND o.seen_at >= sweep.requested_at);
  UPDATE image_gen.store_sweeps w SET missing = coalesce(cardinality(lost), 0) WHERE w.id = sweep.id;
  UPDATE image_gen.campaign_assets a SET mirror_url = NULL, mirrored_at = NULL WHERE a.sha256 = ANY (lost) AND a.mirrored_at IS NOT NULL;
  INSERT INTO image_gen_internal.copy_queue (asset_id, expires_at)
  SELECT a.id, coalesce(a.url_expires_at, 'infinity') FROM image_gen.campaign_assets a WHERE a.sha256 = ANY (lost)
  ON CONFLICT ON CONSTRAINT copy_queue_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen_internal.finish_sweep(bigint) IS 'All of a store was seen: what was not is missing, and copied again from where it still is.';

CREATE FUNCTION image_gen_internal.on_assets_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM image_gen_internal.copy_queue;
    UPDATE image_gen_internal.stored_objects o SET doomed_at = clock_timestamp(), due_at = clock_timestamp(), tries = 0 WHERE o.doomed_at IS NULL;
    PERFORM image_gen_internal.look_at_bytes(ARRAY(SELECT b.sha256 FROM image_gen_internal.blobs b UNION SELECT t.sha256 FROM image_gen_internal.thumbnails t));
    PERFORM image_gen_internal.tell_worker('copies');
    RETURN NULL;
  END IF;
  DELETE FROM image_gen_internal.copy_queue c USING deleted d WHERE c.asset_id = d.id;
  UPDATE image_gen_internal.stored_objects o SET doomed_at = clock_timestamp(), due_at = clock_timestamp(), tries = 0
   WHERE o.sha256 IN (SELECT d.sha256 FROM deleted d) AND o.doomed_at IS NULL
     AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = o.sha256);
  IF FOUND THEN
    PERFORM image_gen_internal.tell_worker('copies');
  END IF;
  PERFORM image_gen_internal.look_at_bytes(ARRAY(SELECT DISTINCT d.sha256 FROM deleted d WHERE d.sha256 IS NOT NULL));
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.on_assets_deleted() IS 'The copies of an image go with the last asset that has it: in a store, in blobs, and the small one.';
CREATE TRIGGER forget_copies AFTER DELETE ON image_gen.campaign_assets REFERENCING OLD TABLE AS deleted
  FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_assets_deleted();
CREATE TRIGGER forget_all_copies AFTER TRUNCATE ON image_gen.campaign_assets FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_assets_deleted();

SET LOCAL search_path = image_gen, pg_temp;
