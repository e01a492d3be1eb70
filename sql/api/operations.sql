-- What users call, and what they read.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.generate(
  prompt text, model text DEFAULT NULL, negative_prompt text DEFAULT NULL, width integer DEFAULT NULL,
  height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL, seed bigint DEFAULT NULL,
  guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL,
  quality text DEFAULT NULL, reference_image text DEFAULT NULL, consistency_mode text DEFAULT NULL, reference_images text[] DEFAULT NULL, style text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL, store text DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_generate';
COMMENT ON FUNCTION image_gen.generate IS
'Queues new images from a prompt, in the caller''s transaction, and returns at once. Nothing is sent before COMMIT.
prompt: what should be in the image. model: a name or alias of image_gen.models, or provider:model, which no other model stands in for. NULL: a model that writes legibly where the prompt
quotes more than one word, a fast one for quality => ''draft'', what serves the priority best, else image_gen.default_model.
width, height: pixels, both or none. aspect_ratio: W:H, where no size is given. seed: 0 to 2147483647, chosen and recorded when NULL.
guidance, steps, quality, negative_prompt: sent where the model has them, else a warning. n: 1 to 10 images; a model that makes fewer in a call is called several times, one after the other.
reference_image: an image whose subject should reappear, as closely as consistency_mode says: strict, balanced or loose. reference_images: up to 16 further images to look at, such as product
photography or a palette, the most important first; a model takes as many as it can, else a warning. Images are https URLs, data: URIs, asset:ID or job:gen_... (the job waits for that one).
style: a row of image_gen.styles, by its name; its words, images and models are put into the request, and kept with the job.
metadata: a JSON object of the caller''s own, never sent; campaign, shot and ticket (at most 255 characters each) become columns of the asset.
provider_preferences: {"preferred": [], "only": false, "weights": {}, "blocked": []}, merged with the setting image_gen.provider_preferences.
priority: quality, control, speed, variety, cost or privacy (own back ends only). options: parameters of one provider, by name.
idempotency_key: the same key returns the same job. deadline: not sent after it. max_cost: USD for all its calls together; refused when the estimate is higher, and no call is made that would go beyond it.
allow_unpriced: take a model of unknown price although a budget or max_cost applies.
reuse: where the caller has made the same request (model, prompt, seed or none, parameters, inputs; with reuse, too) within so long, and its image is there or under way, that job is
returned and costs nothing more; image_gen.reuses counts what is saved.
store: both (the default where there is an image_gen.asset_store), copy (its URL becomes that of the copy) or url (no copy is made); NULL: the setting image_gen.store.
Errors: 22023 bad argument, 42704 unknown model or provider, 0A000 not supported, 53400 max_cost or a budget exceeded, 23505 key with other arguments.';

CREATE FUNCTION image_gen.edit(
  image text, prompt text DEFAULT NULL, mask text DEFAULT NULL, mode text DEFAULT NULL, strength double precision DEFAULT NULL,
  border_top integer DEFAULT NULL, border_right integer DEFAULT NULL, border_bottom integer DEFAULT NULL,
  border_left integer DEFAULT NULL, model text DEFAULT NULL, negative_prompt text DEFAULT NULL, width integer DEFAULT NULL,
  height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL, seed bigint DEFAULT NULL,
  guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL, quality text DEFAULT NULL,
  reference_image text DEFAULT NULL, consistency_mode text DEFAULT NULL, reference_images text[] DEFAULT NULL, style text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL, store text DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_edit';
COMMENT ON FUNCTION image_gen.edit IS
'Queues a change of an image. image: an https URL, a data: URI, asset:ID, or job:gen_... (the job then waits for that one).
mode: img2img makes the whole image anew from itself and the prompt; inpaint changes what the mask marks; outpaint adds border_... pixels around it.
NULL is inpaint where there is a mask, outpaint where there is a border, else img2img. mask: white is changed, black is kept, of the image''s size; where a mask has transparent pixels those are changed, whatever its colours.
strength: 0 keeps everything, 1 nothing. The other arguments are those of generate(). model NULL is the first provider''s usual one for the mode.';

CREATE FUNCTION image_gen.upscale(
  image text, scale integer DEFAULT 2, prompt text DEFAULT NULL, model text DEFAULT NULL, negative_prompt text DEFAULT NULL,
  seed bigint DEFAULT NULL, style text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL, store text DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_upscale';
COMMENT ON FUNCTION image_gen.upscale IS
'Queues the same image, larger. scale: 2 or 4, for both sides. prompt: only for models that draw details anew.
The other arguments are those of generate() and edit().';

CREATE FUNCTION image_gen_internal.queue_variation(
  image text, variance double precision, prompt text, model text, negative_prompt text, width integer, height integer, aspect_ratio text,
  seed bigint, guidance double precision, steps integer, quality text, style text, metadata jsonb, provider_preferences jsonb, options jsonb,
  priority text, idempotency_key text, deadline timestamptz, max_cost numeric, allow_unpriced boolean, reuse interval, store text)
RETURNS image_gen.receipt
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_variation';
COMMENT ON FUNCTION image_gen_internal.queue_variation IS 'Queues one of the variations of variate().';

CREATE FUNCTION image_gen.variate(
  image text, n integer DEFAULT 3, variance double precision DEFAULT NULL, prompt text DEFAULT NULL, model text DEFAULT NULL,
  negative_prompt text DEFAULT NULL, width integer DEFAULT NULL, height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL,
  seed bigint DEFAULT NULL, guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, quality text DEFAULT NULL, style text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false, store text DEFAULT NULL)
RETURNS SETOF image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF n IS NULL OR n NOT BETWEEN 1 AND 10 THEN
    RAISE EXCEPTION 'n is %, but 1 to 10 variations are possible', n USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Call it again for more.';
  ELSIF seed NOT BETWEEN 0 AND 2147483647 THEN
    RAISE EXCEPTION 'seed % is out of range', seed USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use 0 to 2147483647, or leave it out: a seed is then chosen and recorded.';
  END IF;
  -- A job each: they are drawn side by side, and each has a seed, a cost and an end of its own.
  FOR i IN 1..n LOOP
    RETURN NEXT image_gen_internal.queue_variation($1, $3, $4, $5, $6, $7, $8, $9, image_gen.derive_seed($10, 'variation ' || i), $11, $12, $13, $14, $15, $16, $17, $18,
                                     $19 || '#' || i, $20, $21, $22, NULL, $23);
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen.variate IS
'Queues variations of an image and returns one row, and one job, for each. n: 1 to 10. variance: 0 strays not at all, 1 as far as it likes.
seed: the base; each variation has a seed derived from it. max_cost and idempotency_key (with #1, #2 ... appended) count for each.
The other arguments are those of generate() and edit().';

CREATE FUNCTION image_gen.transfer_style(
  image text, style_image text, prompt text DEFAULT NULL, strength double precision DEFAULT NULL, model text DEFAULT NULL,
  negative_prompt text DEFAULT NULL, width integer DEFAULT NULL, height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL,
  seed bigint DEFAULT NULL, guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL,
  quality text DEFAULT NULL, style text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL, store text DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_transfer_style';
COMMENT ON FUNCTION image_gen.transfer_style IS
'Queues the first image in the style of the second. strength: how much of the style, 0 to 1, where the model can be told.
The other arguments are those of generate() and edit().';

SET LOCAL search_path = image_gen, pg_temp;
