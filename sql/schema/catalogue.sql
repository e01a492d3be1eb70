-- What there is to choose from: providers, models, prices, and which model suits what.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.providers (
  id                  text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_-]{0,62}$'),
  kind                text NOT NULL,
  base_url            text CHECK (base_url ~ '^https?://[^/@ ]+(/[^ ]*)?$'),
  key_name            text CHECK (key_name ~ '^[A-Z][A-Z0-9_]{0,62}$'),
  enabled             boolean NOT NULL DEFAULT true,
  priority            integer NOT NULL DEFAULT 100,
  max_in_flight       image_gen.positive,
  requests_per_minute image_gen.positive,
  options             image_gen.jsonb_object NOT NULL DEFAULT '{}',
  needs_approval      boolean NOT NULL DEFAULT false,
  origin              image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.providers IS 'Endpoints that make images. Rows may share an adapter kind: an OpenAI-compatible endpoint is one more row.';
COMMENT ON COLUMN image_gen.providers.kind IS 'The adapter: one of provider_kinds.';
COMMENT ON COLUMN image_gen.providers.base_url IS 'NULL is the real service. Only a superuser may change it: it decides where the key is sent.';
COMMENT ON COLUMN image_gen.providers.key_name IS 'Name of the environment variable or of the line in image_gen.secrets_file; NULL is the adapter''s own, NONE is for a server that wants none. Never a key.';
COMMENT ON COLUMN image_gen.providers.priority IS 'Lower is tried first where the caller has no preference.';
COMMENT ON COLUMN image_gen.providers.max_in_flight IS 'Most tasks submitted and not finished; NULL is no limit. BFL documents 24.';
COMMENT ON COLUMN image_gen.providers.requests_per_minute IS 'Most submissions in a minute; NULL is no limit.';
COMMENT ON COLUMN image_gen.providers.needs_approval IS 'Whose jobs may spend its key is granted role by role: see provider_access.';

CREATE VIEW image_gen.provider_kinds AS SELECT * FROM image_gen_internal.provider_kinds();
COMMENT ON VIEW image_gen.provider_kinds IS 'The kinds of providers that this version has an adapter for.';
COMMENT ON COLUMN image_gen.provider_kinds.base_url IS 'Where the real service is; NULL of a server of one''s own.';
COMMENT ON COLUMN image_gen.provider_kinds.key_name IS 'The name of its key, where a row of providers names no other; NULL of one that wants none.';
COMMENT ON COLUMN image_gen.provider_kinds.address_name IS 'The name of the environment variable or of the line in image_gen.secrets_file that says where a server of one''s own is.';
COMMENT ON COLUMN image_gen.provider_kinds.local IS 'It runs on one''s own machine and sends no bill: what is lost there is simply made again, and jobs with the priority privacy go nowhere else.';
COMMENT ON COLUMN image_gen.provider_kinds.draws IS 'The library draws the images itself, as previews.';
COMMENT ON COLUMN image_gen.provider_kinds.can_be_asked IS 'It can say what became of a request whose answer was lost: such a job is never left to a person for that.';
COMMENT ON COLUMN image_gen.provider_kinds.serves IS 'How well it serves what a caller may say matters most (priority): 1 is best, and what is not listed comes after it.';

CREATE TABLE image_gen.models (
  name            text COLLATE "C" NOT NULL CHECK (name ~ '^([a-z0-9][a-z0-9._/-]{0,127}|[*])$'),
  provider_kind   text NOT NULL,
  provider        text COLLATE "C",
  remote_name     text NOT NULL,
  api             text,
  aliases         text[] NOT NULL DEFAULT '{}',
  operations      text[] NOT NULL DEFAULT '{generate}'
                    CHECK (operations <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style}'),
  default_for     text[] NOT NULL DEFAULT '{}'
                    CHECK (default_for <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style,character,reference_images}'),
  sizes           jsonb,
  prompt_chars    image_gen.positive,
  max_n           integer NOT NULL DEFAULT 1 CHECK (max_n BETWEEN 1 AND 10),
  parameters      image_gen.jsonb_object NOT NULL DEFAULT '{"prompt": true}',
  fixed           image_gen.jsonb_object NOT NULL DEFAULT '{}',
  typical_seconds numeric NOT NULL DEFAULT 10 CHECK (typical_seconds > 0 AND typical_seconds < 'Infinity'),
  best_for        text,
  successor       text,
  ends_on         date,
  origin          image_gen.origin NOT NULL DEFAULT 'admin',
  PRIMARY KEY (name, provider_kind),
  CONSTRAINT sizes_unless_retired CHECK (successor IS NOT NULL OR sizes IS NOT NULL)
);
COMMENT ON TABLE image_gen.models IS 'The catalogue: one row for each model at each kind of provider.';
COMMENT ON COLUMN image_gen.models.provider IS 'The only provider that has it, such as a gateway of the same kind; NULL is every provider of the kind.';
COMMENT ON COLUMN image_gen.models.remote_name IS 'The model''s name at the provider.';
COMMENT ON COLUMN image_gen.models.api IS 'Which of the adapter''s protocols it speaks, where there are several; NULL is the usual one.';
COMMENT ON COLUMN image_gen.models.default_for IS 'The tasks for which it is its provider''s usual choice; character is a reference image with consistency_mode strict, reference_images is an image from several references.';
COMMENT ON COLUMN image_gen.models.fixed IS 'Fields that every request of this model has. Of comfyui, workflow is a graph as its API takes it, with {{prompt}}, {{seed}}, {{width}}, {{height}}, {{image}} and what else parameters write in the places that a request fills.';
COMMENT ON COLUMN image_gen.models.sizes IS '{"free": {"min", "max", "step", "min_pixels", "max_pixels", "max_ratio", "default": [w, h]}} in pixels, {"fixed": [[w, h], ...]} or {"ratios": {"ratios": ["1:1", ...], "pixels": n}}, the default first, or "source": that of the image that goes in.';
COMMENT ON COLUMN image_gen.models.prompt_chars IS 'Longest prompt, in characters; NULL is the general limit of 32000.';
COMMENT ON COLUMN image_gen.models.max_n IS 'Most images in one call; more are several calls.';
COMMENT ON COLUMN image_gen.models.parameters IS 'What it takes, by our name: true, a range [1, 50], a choice ["low", "high"], the provider''s name "guidance_scale", or an object of as, range, values, words, default, text, list, invert, times, form, weight, weights, only, required, assumed. What is not listed is unsupported.';
COMMENT ON COLUMN image_gen.models.typical_seconds IS 'Seconds for one image, until this database has measured its own.';
COMMENT ON COLUMN image_gen.models.successor IS 'Set for a retired model: its jobs go to this one, with a warning.';
COMMENT ON COLUMN image_gen.models.ends_on IS 'The day the provider shuts it down.';

-- A row that an administrator has written or changed is local: it is dumped, and a restore puts it in the place of the catalogue's.
CREATE FUNCTION image_gen_internal.claim_catalogue_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    NEW.origin := 'admin';
    IF TG_TABLE_NAME = 'prices' AND OLD.origin = 'catalogue' THEN
      -- Shipped rows have negative ids, which are another row's in the next version.
      NEW.id := nextval('image_gen.prices_id_seq');
    END IF;
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'refusal_steps' THEN
    DELETE FROM image_gen.refusal_steps l WHERE l.step = NEW.step AND l.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'model_rules' THEN
    DELETE FROM image_gen.model_rules r WHERE (r.position = NEW.position OR r.rule = NEW.rule) AND r.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'rewrite_rules' THEN
    DELETE FROM image_gen.rewrite_rules r WHERE r.position = NEW.position AND r.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'palettes' THEN
    DELETE FROM image_gen.palettes p WHERE p.position = NEW.position AND p.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'lint_rules' THEN
    DELETE FROM image_gen.lint_rules r WHERE (r.position = NEW.position OR r.rule = NEW.rule) AND r.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'policy_rules' THEN
    DELETE FROM image_gen.policy_rules r WHERE (r.position = NEW.position OR r.rule = NEW.rule) AND r.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'request_rules' THEN
    DELETE FROM image_gen.request_rules r WHERE (r.position = NEW.position OR r.rule = NEW.rule) AND r.origin = 'catalogue';
  ELSIF TG_TABLE_NAME = 'prices' THEN
    NULL;  -- a price of an administrator puts those of the catalogue aside where it is read
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'providers' THEN
    DELETE FROM image_gen.providers p WHERE p.id = NEW.id AND p.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' THEN
    DELETE FROM image_gen.models m WHERE m.name = NEW.name AND m.provider_kind = NEW.provider_kind AND m.origin = 'catalogue';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.providers FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
COMMENT ON COLUMN image_gen.providers.origin IS 'catalogue: as shipped. admin: written or changed here.';
COMMENT ON COLUMN image_gen.models.origin IS 'catalogue: as shipped. admin: written or changed here.';

CREATE TABLE image_gen.prices (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider_kind text NOT NULL,
  model         text COLLATE "C" NOT NULL,
  unit          text NOT NULL CHECK (unit IN ('image', 'megapixel', 'begun_megapixel', 'first_megapixel', 'further_megapixel', 'second', 'text_in_mtok', 'image_in_mtok', 'text_cached_mtok', 'image_cached_mtok', 'image_out_mtok', 'text_out_mtok')),
  quality       text,
  amount        image_gen.amount NOT NULL,
  currency      image_gen.currency NOT NULL DEFAULT 'USD',
  valid_from    date NOT NULL DEFAULT '-infinity',
  valid_to      date NOT NULL DEFAULT 'infinity' CONSTRAINT ends_after_it_begins CHECK (valid_to > valid_from),
  source        text,
  origin        image_gen.origin NOT NULL DEFAULT 'admin'
);
CREATE TRIGGER own_row BEFORE UPDATE ON image_gen.prices FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
CREATE INDEX prices_model ON image_gen.prices (model, provider_kind);
COMMENT ON TABLE image_gen.prices IS 'List prices with the days they are valid on and where they come from.';
COMMENT ON COLUMN image_gen.prices.unit IS 'What the amount is charged for: an image; a million pixels; a begun megapixel (of 1024 x 1024); the first and each further begun megapixel, inputs included; a begun second of computing; a million tokens (mtok).';
COMMENT ON COLUMN image_gen.prices.quality IS 'Only for this quality, in the provider''s own word; NULL is any.';
COMMENT ON COLUMN image_gen.prices.valid_to IS 'The first day on which it no longer holds.';

CREATE TABLE image_gen_internal.render_estimates (
  provider text COLLATE "C" NOT NULL,
  model    text COLLATE "C" NOT NULL,
  class    text COLLATE "C" NOT NULL DEFAULT '',
  seconds  numeric NOT NULL,
  samples  bigint NOT NULL,
  PRIMARY KEY (provider, model, class)
) WITH (fillfactor = 50);
COMMENT ON TABLE image_gen_internal.render_estimates IS 'How long an image takes here: a running estimate of the 75th percentile of finished renders, in seconds.';

CREATE TABLE image_gen.model_rules (
  position   image_gen.positive PRIMARY KEY,
  rule       text NOT NULL UNIQUE,
  needs_text boolean,
  photoreal  boolean,
  draft      boolean,
  stylized   boolean,
  editing    boolean,
  priority   text,
  models     text[] NOT NULL,
  reason     text NOT NULL,
  origin     image_gen.origin NOT NULL DEFAULT 'admin'
);
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.model_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
COMMENT ON TABLE image_gen.model_rules IS 'The decision tree of choose_model(): the first row whose conditions hold, and one of whose models is configured, decides.';
COMMENT ON COLUMN image_gen.model_rules.position IS 'The order.';
COMMENT ON COLUMN image_gen.model_rules.rule IS 'Its name, which choose_model() returns.';
COMMENT ON COLUMN image_gen.model_rules.needs_text IS 'Legible text in the image. A condition that is NULL always holds.';
COMMENT ON COLUMN image_gen.model_rules.photoreal IS 'A photograph, or what looks like one.';
COMMENT ON COLUMN image_gen.model_rules.draft IS 'A thumbnail, a mood board, a first try.';
COMMENT ON COLUMN image_gen.model_rules.stylized IS 'An illustration or a poster.';
COMMENT ON COLUMN image_gen.model_rules.editing IS 'An image is there and is to be changed.';
COMMENT ON COLUMN image_gen.model_rules.priority IS 'quality, control, speed, variety, cost or privacy.';
COMMENT ON COLUMN image_gen.model_rules.models IS 'Names of image_gen.models (or provider:model), the best first.';
COMMENT ON COLUMN image_gen.model_rules.reason IS 'For people.';
COMMENT ON COLUMN image_gen.model_rules.origin IS 'catalogue: as shipped. admin: written or changed here.';

-- The rest of the columns that users read.
COMMENT ON COLUMN image_gen.providers.id IS 'How jobs, preferences and provider:model name it.';
COMMENT ON COLUMN image_gen.providers.enabled IS 'Off: gets no new jobs. What it has accepted is still followed to its end.';
COMMENT ON COLUMN image_gen.providers.options IS 'For the adapter; none are known so far.';
COMMENT ON COLUMN image_gen.models.name IS 'The name in the catalogue. * stands for every model of the provider that has no row: write provider:name.';
COMMENT ON COLUMN image_gen.models.provider_kind IS 'The kind of provider that this row is about (providers.kind).';
COMMENT ON COLUMN image_gen.models.aliases IS 'Other names, in lower case.';
COMMENT ON COLUMN image_gen.models.operations IS 'What it can do: generate, img2img, inpaint, outpaint (the three kinds of edit), upscale, variate, transfer_style.';
COMMENT ON COLUMN image_gen.models.best_for IS 'For people.';
COMMENT ON COLUMN image_gen.prices.id IS 'Later rows win where two are valid. Shipped ones are negative.';
COMMENT ON COLUMN image_gen.prices.provider_kind IS 'providers.kind.';
COMMENT ON COLUMN image_gen.prices.model IS 'models.name.';
COMMENT ON COLUMN image_gen.prices.amount IS 'Per unit.';
COMMENT ON COLUMN image_gen.prices.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.prices.valid_from IS 'The first day on which it holds.';
COMMENT ON COLUMN image_gen.prices.source IS 'Where the figure comes from, with its date.';
COMMENT ON COLUMN image_gen.prices.origin IS 'catalogue: as shipped. admin: written here; it comes before the catalogue''s.';
COMMENT ON COLUMN image_gen_internal.render_estimates.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen_internal.render_estimates.model IS 'models.name.';
COMMENT ON COLUMN image_gen_internal.render_estimates.class IS 'Size and steps, about, such as 1.00 MP, 32 steps; empty for all renders of the model. An estimate is that of the class where it has four samples, else that of all, else models.typical_seconds.';
COMMENT ON COLUMN image_gen_internal.render_estimates.seconds IS 'The estimate.';
COMMENT ON COLUMN image_gen_internal.render_estimates.samples IS 'Renders behind it.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.providers', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.models', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.prices', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.model_rules', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.render_estimates', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.prices_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
