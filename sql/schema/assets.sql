-- What was made.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.campaign_assets (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id          text COLLATE "C" NOT NULL,
  position        image_gen.positive NOT NULL,
  attempt         image_gen.positive NOT NULL DEFAULT 1,
  campaign        text,
  shot            text,
  ticket          text,
  url             text NOT NULL,
  url_expires_at  timestamptz,
  mirror_url      text,
  provider        text COLLATE "C" NOT NULL,
  model           text COLLATE "C" NOT NULL,
  seed            bigint NOT NULL,
  prompt          text NOT NULL,
  negative_prompt text,
  width           integer,
  height          integer,
  content_type    text,
  byte_size       bigint,
  sha256          text COLLATE "C",
  billed_cost     image_gen.cost,
  known_cost      numeric,
  currency        text NOT NULL DEFAULT 'USD',
  cost_source     image_gen.cost_source NOT NULL,
  warnings        jsonb NOT NULL DEFAULT '[]',
  metadata        jsonb NOT NULL DEFAULT '{}',
  batch           text COLLATE "C",
  parent          text COLLATE "C",
  relation        text,
  owner           regrole NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  perceptual_hash bigint,
  blank           text COLLATE "C",
  content_credentials jsonb,
  digital_source_type text COLLATE "C",
  disclosure      text,
  erased_at       timestamptz,
  UNIQUE (job_id, position)
);
CREATE INDEX campaign_assets_campaign ON image_gen.campaign_assets (campaign, shot);
CREATE INDEX campaign_assets_ticket ON image_gen.campaign_assets (ticket);
CREATE INDEX campaign_assets_batch ON image_gen.campaign_assets (batch) WHERE batch IS NOT NULL;
CREATE INDEX campaign_assets_parent ON image_gen.campaign_assets (parent) WHERE parent IS NOT NULL;
CREATE INDEX campaign_assets_look ON image_gen.campaign_assets (owner, perceptual_hash) INCLUDE (id) WHERE perceptual_hash IS NOT NULL;
CREATE INDEX campaign_assets_sha256 ON image_gen.campaign_assets (sha256);
COMMENT ON TABLE image_gen.campaign_assets IS 'Finished images: one row each, with all that is needed to make it again. No foreign key to jobs: jobs are pruned, assets are kept.';
COMMENT ON COLUMN image_gen.campaign_assets.url IS 'Where the provider has it, or image-gen:sha256:... for bytes kept in image_gen_internal.blobs.';
COMMENT ON COLUMN image_gen.campaign_assets.url_expires_at IS 'When the provider deletes it; NULL when it says nothing.';
COMMENT ON COLUMN image_gen.campaign_assets.width IS 'Pixels, from the bytes; NULL when the image could not be fetched.';
COMMENT ON COLUMN image_gen.campaign_assets.billed_cost IS 'This image''s share of jobs.billed_cost; the shares add up exactly. NULL when that is unknown, and while further images of the job are being made.';
COMMENT ON COLUMN image_gen.campaign_assets.known_cost IS 'This image''s share of jobs.known_cost.';

CREATE TABLE image_gen_internal.blobs (
  sha256       text COLLATE "C" PRIMARY KEY,
  content_type text NOT NULL,
  bytes        bytea NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Images are compressed already: trying again costs time and saves nothing.
ALTER TABLE image_gen_internal.blobs ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE image_gen_internal.blobs IS 'Bytes of images by their SHA-256: the same image is stored once.';
COMMENT ON COLUMN image_gen.campaign_assets.id IS 'For asset_bytes(id).';
COMMENT ON COLUMN image_gen.campaign_assets.job_id IS 'The job that made it.';
COMMENT ON COLUMN image_gen.campaign_assets.position IS 'Within its job, from 1.';
COMMENT ON COLUMN image_gen.campaign_assets.attempt IS 'attempts.number of the call that made it.';
COMMENT ON COLUMN image_gen.campaign_assets.campaign IS 'metadata ->> campaign.';
COMMENT ON COLUMN image_gen.campaign_assets.shot IS 'metadata ->> shot.';
COMMENT ON COLUMN image_gen.campaign_assets.ticket IS 'metadata ->> ticket.';
COMMENT ON COLUMN image_gen.campaign_assets.mirror_url IS 'A lasting copy; NULL when there is none.';
COMMENT ON COLUMN image_gen.campaign_assets.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.campaign_assets.model IS 'models.name.';
COMMENT ON COLUMN image_gen.campaign_assets.seed IS 'Of the attempt that made it.';
COMMENT ON COLUMN image_gen.campaign_assets.prompt IS 'Of the attempt that made it.';
COMMENT ON COLUMN image_gen.campaign_assets.warnings IS '[{"code", "message"}]: in what the image is not as asked, see attempts.warnings; preview: a drawing that stands in for it.';
COMMENT ON COLUMN image_gen.campaign_assets.negative_prompt IS 'As asked; whether it was sent is in the warnings.';
COMMENT ON COLUMN image_gen.campaign_assets.height IS 'Pixels, from the bytes.';
COMMENT ON COLUMN image_gen.campaign_assets.content_type IS 'From the bytes.';
COMMENT ON COLUMN image_gen.campaign_assets.byte_size IS 'Bytes.';
COMMENT ON COLUMN image_gen.campaign_assets.sha256 IS 'Of the bytes, hexadecimal.';
COMMENT ON COLUMN image_gen.campaign_assets.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.campaign_assets.cost_source IS 'unknown when the cost of any attempt is.';
COMMENT ON COLUMN image_gen.campaign_assets.metadata IS 'The job''s.';
COMMENT ON COLUMN image_gen.campaign_assets.batch IS 'jobs.batch.';
COMMENT ON COLUMN image_gen.campaign_assets.parent IS 'jobs.parent.';
COMMENT ON COLUMN image_gen.campaign_assets.relation IS 'jobs.relation.';
COMMENT ON COLUMN image_gen.campaign_assets.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen.campaign_assets.created_at IS 'When it was delivered.';
COMMENT ON COLUMN image_gen.campaign_assets.erased_at IS 'When forget() erased the image; its cost stays.';
COMMENT ON COLUMN image_gen_internal.blobs.sha256 IS 'Of the bytes, hexadecimal.';
COMMENT ON COLUMN image_gen_internal.blobs.content_type IS 'From the bytes.';
COMMENT ON COLUMN image_gen_internal.blobs.bytes IS 'The image.';
COMMENT ON COLUMN image_gen_internal.blobs.created_at IS 'When it was first stored.';

COMMENT ON COLUMN image_gen.campaign_assets.perceptual_hash IS 'What it looks like, in 64 bits: copies differ in at most 10, see hash_distance() and similar_assets(). NULL where the bytes were not seen.';
COMMENT ON COLUMN image_gen.campaign_assets.blank IS 'black or empty (one color throughout): nothing is to be seen. NULL: something is, or the bytes were not seen.';
COMMENT ON COLUMN image_gen.campaign_assets.content_credentials IS 'What a C2PA manifest in the bytes claims, as {"claim_generator", "signer"}; NULL where there is none. It is not verified here, and the bytes stay as they came, so that others can.';
COMMENT ON COLUMN image_gen.campaign_assets.digital_source_type IS 'The IPTC digitalSourceType that the bytes claim, in their C2PA manifest or XMP: an IRI.';
COMMENT ON COLUMN image_gen.campaign_assets.disclosure IS 'The words that it is to be published with: metadata ->> disclosure of the job, else the setting image_gen.disclosure when it was delivered; see set_disclosure().';

CREATE TABLE image_gen_internal.thumbnails (
  sha256       text COLLATE "C" PRIMARY KEY,
  content_type text NOT NULL,
  bytes        bytea NOT NULL
);
ALTER TABLE image_gen_internal.thumbnails ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE image_gen_internal.thumbnails IS 'Small copies of images, by the SHA-256 of these; not of those that are small themselves and in blobs.';
COMMENT ON COLUMN image_gen_internal.thumbnails.sha256 IS 'Of the image, not of the small copy.';
COMMENT ON COLUMN image_gen_internal.thumbnails.content_type IS 'Of the small copy: image/jpeg, but for an image that is its own.';
COMMENT ON COLUMN image_gen_internal.thumbnails.bytes IS 'The small copy: at most 512 pixels and 40 kB.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.campaign_assets', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.thumbnails', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.blobs', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.campaign_assets_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
