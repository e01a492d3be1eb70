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
  INSERT INTO image_gen_internal.copy_queue (asset_id, expires_at)
  SELECT a.id, coalesce(a.url_expires_at, 'infinity')
    FROM unnest(ids, positions) AS i(id, position)
   CROSS JOIN LATERAL (SELECT c.id, c.url_expires_at FROM image_gen.campaign_assets c WHERE c.job_id = i.id AND c.position = i.position AND c.mirrored_at IS NULL OFFSET 0) a
  ON CONFLICT ON CONSTRAINT copy_queue_pkey DO NOTHING;
  IF FOUND THEN
    PERFORM image_gen_internal.tell_worker('copies');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.queue_copies(text[], integer[]) IS 'Queues copies of images in the transaction that writes their assets.';

CREATE FUNCTION image_gen_internal.record_upload(made_by text, identity text, address text, object_name text, object_url text, number integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.stored_objects AS o (store, name, sha256, byte_size, content_type, instance)
  SELECT image_gen_internal.record_store(identity, address), object_name, a.sha256, a.byte_size, a.content_type, image_gen_internal.instance_id()
    FROM image_gen.campaign_assets a WHERE a.job_id = made_by AND a.position = number
  ON CONFLICT ON CONSTRAINT stored_objects_store_name_key DO UPDATE SET doomed_at = NULL, last_error = NULL WHERE o.doomed_at IS NOT NULL;
  UPDATE image_gen.campaign_assets a SET mirror_url = object_url, mirrored_at = clock_timestamp() WHERE a.job_id = made_by AND a.position = number;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_upload(text, text, text, text, text, integer) IS 'Writes down that an image was in a store, and read back, before its job ended: in the transaction that ends it.';

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
  WITH due AS (
    SELECT c.asset_id, a.sha256
      FROM image_gen_internal.copy_queue c JOIN image_gen.campaign_assets a ON a.id = c.asset_id
     WHERE NOT c.lost AND c.due_at <= clock_timestamp() AND c.asset_id <> ALL (busy) AND (a.sha256 IS NULL OR a.sha256 <> ALL (busy_hashes))
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
  -- An asset that was deleted meanwhile has no use for it.
  SELECT this_store, i.name, i.hash, i.size, i.type, image_gen_internal.instance_id(),
         CASE WHEN NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.id = i.id OR a.sha256 = i.hash) THEN clock_timestamp() END
    FROM unnest(ids, names, hashes, sizes, types) AS i(id, name, hash, size, type)
  ON CONFLICT ON CONSTRAINT stored_objects_store_name_key DO UPDATE SET doomed_at = NULL, last_error = NULL WHERE o.doomed_at IS NOT NULL;
  UPDATE image_gen.campaign_assets a
     SET mirror_url = i.url, mirrored_at = clock_timestamp(), url = CASE WHEN c.policy = 'copy' THEN i.url ELSE a.url END,
         url_expires_at = CASE WHEN c.policy = 'copy' THEN NULL ELSE a.url_expires_at END,
         sha256 = coalesce(a.sha256, i.hash), byte_size = coalesce(a.byte_size, i.size), content_type = coalesce(a.content_type, i.type),
         width = coalesce(a.width, i.width), height = coalesce(a.height, i.height)
    FROM unnest(ids, urls, hashes, sizes, types, widths, heights) AS i(id, url, hash, size, type, width, height)
    LEFT JOIN image_gen_internal.copy_queue c ON c.asset_id = i.id
   WHERE a.id = i.id;
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

CREATE FUNCTION image_gen_internal.on_assets_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM image_gen_internal.copy_queue c USING deleted d WHERE c.asset_id = d.id;
  UPDATE image_gen_internal.stored_objects o SET doomed_at = clock_timestamp(), due_at = clock_timestamp(), tries = 0
   WHERE o.sha256 IN (SELECT d.sha256 FROM deleted d) AND o.doomed_at IS NULL
     AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = o.sha256);
  IF FOUND THEN
    PERFORM image_gen_internal.tell_worker('copies');
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.on_assets_deleted() IS 'The copy of an image goes with the last asset that has it.';
CREATE TRIGGER forget_copies AFTER DELETE ON image_gen.campaign_assets REFERENCING OLD TABLE AS deleted
  FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_assets_deleted();

SET LOCAL search_path = image_gen, pg_temp;
