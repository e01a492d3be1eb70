-- Where images last: the stores that were ever used, what is in them, and what is still to be copied.

SET LOCAL search_path = pg_catalog, pg_temp;

ALTER TABLE image_gen.campaign_assets ADD COLUMN mirrored_at timestamptz;
COMMENT ON COLUMN image_gen.campaign_assets.mirrored_at IS 'When the copy was read back and found right; NULL when there is none of image_gen.asset_store.';
CREATE INDEX campaign_assets_expiring ON image_gen.campaign_assets (url_expires_at) WHERE mirror_url IS NULL AND url_expires_at IS NOT NULL;

CREATE TABLE image_gen_internal.stores (
  id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  identity   text COLLATE "C" NOT NULL UNIQUE,
  address    text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen_internal.stores IS 'The stores that image_gen.asset_store has named so far.';
COMMENT ON COLUMN image_gen_internal.stores.id IS 'For stored_objects.';
COMMENT ON COLUMN image_gen_internal.stores.identity IS 'What tells it from others, however it is opened.';
COMMENT ON COLUMN image_gen_internal.stores.address IS 'How it is opened: as image_gen.asset_store had it last. No key is part of it.';
COMMENT ON COLUMN image_gen_internal.stores.created_at IS 'When it was first used.';

CREATE TABLE image_gen_internal.stored_objects (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store        integer NOT NULL REFERENCES image_gen_internal.stores (id),
  name         text COLLATE "C" NOT NULL,
  sha256       text COLLATE "C" NOT NULL,
  byte_size    bigint NOT NULL,
  content_type text,
  instance     uuid NOT NULL,
  stored_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  doomed_at    timestamptz,
  due_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  tries        integer NOT NULL DEFAULT 0,
  last_error   text,
  seen_at      timestamptz,
  UNIQUE (store, name)
);
CREATE INDEX stored_objects_sha256 ON image_gen_internal.stored_objects (sha256);
CREATE INDEX stored_objects_doomed ON image_gen_internal.stored_objects (due_at) WHERE doomed_at IS NOT NULL;
COMMENT ON TABLE image_gen_internal.stored_objects IS 'What is in stores, each read back and found right. Assets find theirs by its hash: the same image is stored once.';
COMMENT ON COLUMN image_gen_internal.stored_objects.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen_internal.stored_objects.store IS 'stores.id.';
COMMENT ON COLUMN image_gen_internal.stored_objects.name IS 'Within the store: see image_gen.asset_name.';
COMMENT ON COLUMN image_gen_internal.stored_objects.sha256 IS 'Of the bytes, hexadecimal.';
COMMENT ON COLUMN image_gen_internal.stored_objects.byte_size IS 'Bytes.';
COMMENT ON COLUMN image_gen_internal.stored_objects.content_type IS 'From the bytes.';
COMMENT ON COLUMN image_gen_internal.stored_objects.instance IS 'instance.id of the database that stored it. Another one, a restored or promoted copy for instance, never removes it.';
COMMENT ON COLUMN image_gen_internal.stored_objects.stored_at IS 'When it was read back and found right.';
COMMENT ON COLUMN image_gen_internal.stored_objects.doomed_at IS 'Since when no asset has it any more: it is removed from the store.';
COMMENT ON COLUMN image_gen_internal.stored_objects.due_at IS 'Not removed before.';
COMMENT ON COLUMN image_gen_internal.stored_objects.tries IS 'How often removing it was begun.';
COMMENT ON COLUMN image_gen_internal.stored_objects.last_error IS 'Of the last try.';
COMMENT ON COLUMN image_gen_internal.stored_objects.seen_at IS 'When sweep_store() last saw it.';

CREATE TABLE image_gen.store_sweeps (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store        integer NOT NULL,
  remove       boolean NOT NULL,
  requested_by regrole NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz,
  seen         bigint NOT NULL DEFAULT 0,
  orphans      bigint NOT NULL DEFAULT 0,
  removed      bigint NOT NULL DEFAULT 0,
  missing      bigint NOT NULL DEFAULT 0,
  after_name   text COLLATE "C" NOT NULL DEFAULT '',
  due_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_error   text
);
COMMENT ON TABLE image_gen.store_sweeps IS 'Comparisons of a store with what the database says is in it: see sweep_store(). For administrators.';
COMMENT ON COLUMN image_gen.store_sweeps.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.store_sweeps.store IS 'stores.id.';
COMMENT ON COLUMN image_gen.store_sweeps.remove IS 'Orphans of this database''s own making are removed.';
COMMENT ON COLUMN image_gen.store_sweeps.requested_by IS 'The role that called sweep_store().';
COMMENT ON COLUMN image_gen.store_sweeps.requested_at IS 'When.';
COMMENT ON COLUMN image_gen.store_sweeps.finished_at IS 'When all was compared; NULL while it goes on.';
COMMENT ON COLUMN image_gen.store_sweeps.seen IS 'Objects so far.';
COMMENT ON COLUMN image_gen.store_sweeps.orphans IS 'Of these, objects that no row has: see store_orphans.';
COMMENT ON COLUMN image_gen.store_sweeps.removed IS 'Of these, objects that are being removed.';
COMMENT ON COLUMN image_gen.store_sweeps.missing IS 'Rows without an object: their assets are to be copied again.';
COMMENT ON COLUMN image_gen.store_sweeps.after_name IS 'Where it goes on.';
COMMENT ON COLUMN image_gen.store_sweeps.due_at IS 'When it goes on.';
COMMENT ON COLUMN image_gen.store_sweeps.last_error IS 'Of the last try.';

CREATE TABLE image_gen.store_orphans (
  store       integer NOT NULL,
  name        text COLLATE "C" NOT NULL,
  byte_size   bigint NOT NULL,
  modified_at timestamptz NOT NULL,
  found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (store, name)
);
COMMENT ON TABLE image_gen.store_orphans IS 'Objects in a store that no row of this database has, as the last sweep_store() found them. For administrators.';
COMMENT ON COLUMN image_gen.store_orphans.store IS 'stores.id.';
COMMENT ON COLUMN image_gen.store_orphans.name IS 'Within the store.';
COMMENT ON COLUMN image_gen.store_orphans.byte_size IS 'Bytes.';
COMMENT ON COLUMN image_gen.store_orphans.modified_at IS 'When it was written.';
COMMENT ON COLUMN image_gen.store_orphans.found_at IS 'When it was found.';

CREATE TABLE image_gen_internal.copy_queue (
  asset_id   bigint PRIMARY KEY,
  policy     text NOT NULL DEFAULT 'both' CHECK (policy IN ('copy', 'both')),
  expires_at timestamptz NOT NULL DEFAULT 'infinity',
  moves_from bigint,
  lost       boolean NOT NULL DEFAULT false,
  told       boolean NOT NULL DEFAULT false,
  tries      integer NOT NULL DEFAULT 0,
  due_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_error text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);
CREATE INDEX copy_queue_order ON image_gen_internal.copy_queue (expires_at, asset_id) WHERE NOT lost;
CREATE INDEX copy_queue_due ON image_gen_internal.copy_queue (due_at) WHERE NOT lost;
COMMENT ON TABLE image_gen_internal.copy_queue IS 'Images that are to be copied to image_gen.asset_store, those first whose URL ends first. A copy that is there leaves no row.';
COMMENT ON COLUMN image_gen_internal.copy_queue.asset_id IS 'campaign_assets.id. No foreign key: the transaction that stores an image waits for no lock.';
COMMENT ON COLUMN image_gen_internal.copy_queue.policy IS 'both: the asset keeps the provider''s URL. copy: its URL becomes that of the copy.';
COMMENT ON COLUMN image_gen_internal.copy_queue.expires_at IS 'campaign_assets.url_expires_at, or infinity.';
COMMENT ON COLUMN image_gen_internal.copy_queue.moves_from IS 'stored_objects.id, where it moves from one store to another.';
COMMENT ON COLUMN image_gen_internal.copy_queue.lost IS 'Its URL has ended, nothing is there any more, and there are no other bytes: it is not tried again.';
COMMENT ON COLUMN image_gen_internal.copy_queue.told IS 'The log has said that its URL ended before there was a copy.';
COMMENT ON COLUMN image_gen_internal.copy_queue.tries IS 'How often it was begun.';
COMMENT ON COLUMN image_gen_internal.copy_queue.due_at IS 'Not tried before: 5 s after the first try, doubled up to 15 min, and no longer than a quarter of the time that its URL has left.';
COMMENT ON COLUMN image_gen_internal.copy_queue.last_error IS 'Of the last try.';
COMMENT ON COLUMN image_gen_internal.copy_queue.created_at IS 'When it was queued.';

CREATE TABLE image_gen.stored_images (
  owner        regrole NOT NULL,
  sha256       text COLLATE "C" NOT NULL,
  reference    text NOT NULL GENERATED ALWAYS AS ('image-gen:sha256:' || sha256) STORED,
  content_type text NOT NULL,
  width        integer,
  height       integer,
  byte_size    bigint NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (sha256, owner)
);
CREATE INDEX stored_images_owner ON image_gen.stored_images (owner, created_at);
COMMENT ON TABLE image_gen.stored_images IS 'Images of one''s own that are kept for jobs: see store_image().';
COMMENT ON COLUMN image_gen.stored_images.owner IS 'The role that stored it.';
COMMENT ON COLUMN image_gen.stored_images.sha256 IS 'Of the bytes, hexadecimal.';
COMMENT ON COLUMN image_gen.stored_images.reference IS 'What a job is given, as its image or reference image.';
COMMENT ON COLUMN image_gen.stored_images.content_type IS 'From the bytes.';
COMMENT ON COLUMN image_gen.stored_images.width IS 'Pixels, from the bytes.';
COMMENT ON COLUMN image_gen.stored_images.height IS 'Pixels, from the bytes.';
COMMENT ON COLUMN image_gen.stored_images.byte_size IS 'Bytes.';
COMMENT ON COLUMN image_gen.stored_images.created_at IS 'When it was first stored.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.stored_images', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.stores', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.stores_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.stored_objects', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.stored_objects_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.copy_queue', '');

SET LOCAL search_path = image_gen, pg_temp;
