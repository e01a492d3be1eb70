-- Prompts: built from their parts, looked over before money is spent; and what an everyday request asks for. All rules are rows.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.check_rule() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A pattern that is no regular expression is refused when it is written.
  PERFORM regexp_instr('', NEW.pattern, 1, 1, 0, 'i'), regexp_instr('', NEW.unless, 1, 1, 0, 'i');
  RETURN NEW;
END $$;

CREATE FUNCTION image_gen.build_prompt(subject text, style text DEFAULT NULL, composition text DEFAULT NULL, lighting text DEFAULT NULL, atmosphere text DEFAULT NULL,
  palette text DEFAULT NULL, details text DEFAULT NULL, words text DEFAULT NULL, OUT prompt text, OUT missing text[], OUT advice text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF subject IS NULL OR image_gen_internal.is_blank_prompt(subject) THEN
    RAISE EXCEPTION 'a prompt needs a subject' USING ERRCODE = 'invalid_parameter_value', HINT = 'Be specific: a red panda on a mossy branch, not an animal.';
  END IF;
  -- The first words weigh most. Each part without the punctuation that joins it to nothing.
  SELECT string_agg(p.part, ', ' ORDER BY p.place), array_agg(p.name ORDER BY p.place) FILTER (WHERE p.part IS NULL AND p.place IN (4, 5, 6, 8)),
         string_agg(p.name || ': ' || p.examples, '; ' ORDER BY p.place) FILTER (WHERE p.part IS NULL AND p.examples IS NOT NULL)
    INTO prompt, missing, advice
    FROM (SELECT v.place, v.name, v.examples, nullif(btrim(regexp_replace(v.given, '\s+', ' ', 'g'), ' ,;.'), '') AS part
            FROM (VALUES (1, 'subject', subject, NULL), (2, 'details', details, NULL), (3, 'words', 'with the words "' || replace(nullif(btrim(words), ''), '"', '') || '"', NULL),
                         (4, 'style', style, 'photorealistic, watercolor, vector illustration, cinematic'),
                         (5, 'composition', composition, 'close-up portrait, wide establishing shot, overhead flat lay'),
                         (6, 'lighting', lighting, 'golden hour, dramatic side light, neon glow, high contrast'),
                         (7, 'palette', 'color palette: ' || nullif(btrim(palette), ''), NULL),
                         (8, 'atmosphere', atmosphere, 'serene, ominous, whimsical, nostalgic')) v(place, name, given, examples)) p;
  missing := coalesce(missing, '{}');
END $$;
COMMENT ON FUNCTION image_gen.build_prompt IS
'A prompt from its parts, the subject first, because models weigh the first words most: subject, details, the words that are to be read in the image, style, composition, lighting, palette, atmosphere.
missing: which of style, composition, lighting and atmosphere were left to the model; advice: examples for them, NULL where none is missing. Error 22023 without a subject.';

CREATE TABLE image_gen.lint_rules (
  position  image_gen.positive PRIMARY KEY,
  rule      text NOT NULL UNIQUE,
  pattern   text,
  unless    text,
  models    text[],
  parameter text,
  low       numeric,
  high      numeric,
  without   text[],
  message   text NOT NULL,
  instead   text,
  enabled   boolean NOT NULL DEFAULT true,
  origin    image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.lint_rules IS 'What lint_prompt() warns of, beside the words of rewrite_rules and what the model does not take: a row applies where all that it says is so.';
COMMENT ON COLUMN image_gen.lint_rules.position IS 'The order. A row of an administrator takes the place of the shipped one at its position, or of its name.';
COMMENT ON COLUMN image_gen.lint_rules.rule IS 'Its name, which lint_prompt() returns.';
COMMENT ON COLUMN image_gen.lint_rules.pattern IS 'A regular expression that the prompt matches, whatever the case.';
COMMENT ON COLUMN image_gen.lint_rules.unless IS 'A regular expression that it does not match.';
COMMENT ON COLUMN image_gen.lint_rules.models IS 'Names of models, as LIKE has them; NULL is any, and none at all.';
COMMENT ON COLUMN image_gen.lint_rules.parameter IS 'A number among the parameters that is below low or above high.';
COMMENT ON COLUMN image_gen.lint_rules.low IS 'The least useful value of the parameter.';
COMMENT ON COLUMN image_gen.lint_rules.high IS 'The greatest useful value.';
COMMENT ON COLUMN image_gen.lint_rules.without IS 'Parameters none of which is given.';
COMMENT ON COLUMN image_gen.lint_rules.message IS 'What is said.';
COMMENT ON COLUMN image_gen.lint_rules.instead IS 'What to write instead.';
COMMENT ON COLUMN image_gen.lint_rules.enabled IS 'Off: left out.';
COMMENT ON COLUMN image_gen.lint_rules.origin IS 'catalogue: as shipped. admin: written or changed here.';
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.lint_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.lint_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_rule();
INSERT INTO image_gen.lint_rules (position, rule, pattern, unless, models, parameter, low, high, without, message, instead, origin) VALUES
  (20, 'guidance', NULL, NULL, '{flux%}', 'guidance', 2.5, 5, NULL,
   'above 5 skin looks like plastic and highlights burn out, below 2.5 the prompt loses its hold on the composition', '3.5', 'catalogue'),
  (21, 'guidance_sd', NULL, NULL, '{sdxl,sd3%,sd-%}', 'guidance', 4, 10, NULL, 'outside 4 to 10 images are washed out or burnt', '7', 'catalogue'),
  (30, 'steps', NULL, NULL, '{flux-1%,flux-pro%,flux-dev%,flux-2-pro%,flux-2-flex%,sdxl,sd3%,sd-%}', 'steps', 20, 40, NULL,
   'below 20 steps images are softer, above 40 they take longer and gain little', '28', 'catalogue'),
  (31, 'steps_fast', NULL, NULL, '{%lightning%,%schnell%,%klein%,%turbo%}', 'steps', 1, 12, NULL, 'a fast model gains nothing from more steps', '4', 'catalogue'),
  (40, 'character_by_seed', '\m((character|expression|turnaround) sheet|(same|identical) (character|face|person|woman|man|girl|boy|mascot))\M', NULL, NULL, NULL, NULL, NULL,
   '{reference_image,reference_images,image}', 'a seed and words alone do not keep a face the same across images', 'reference_image with consistency_mode strict', 'catalogue'),
  (50, 'regulated', '\m(diagnos(is|es|tic)|x-ray|ct scan|mri|surgery|ballot|election|court(room)?|verdict|politician|president|prime minister|senator|celebrity)\M', NULL, NULL, NULL, NULL, NULL,
   NULL, 'medical, legal and political images, and those of real people, are for a person to decide', NULL, 'catalogue'),
  (60, 'negation', '\m(no|without|not) (text|words|watermarks?|logos?|people|hands)\M', NULL, '{sdxl%,sd3%,sd-%,stable-image%}', NULL, NULL, NULL, '{negative_prompt}',
   'this model obeys what a negative_prompt names better than a no in the prompt', 'negative_prompt', 'catalogue'),
  (70, 'vague', '^\W*(an? |the )?(animal|person|thing|image|picture|photo|something|landscape|building)\W*$', NULL, NULL, NULL, NULL, NULL, NULL,
   'the subject is not specific', 'build_prompt(subject, style, composition, lighting, atmosphere)', 'catalogue'),
  (80, 'approvers', NULL, NULL, NULL, 'approvers', 0, 2, NULL, 'with more than two approvers a designer is faster', NULL, 'catalogue');
SELECT pg_catalog.pg_extension_config_dump('image_gen.lint_rules', $$WHERE origin = 'admin'$$);

CREATE FUNCTION image_gen.lint_prompt(prompt text, model text DEFAULT NULL, parameters jsonb DEFAULT NULL)
RETURNS TABLE (rule text, word text, softer text, note text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  one record;
  own_prompt text := prompt;
  left_over text := prompt;
  given jsonb := coalesce(parameters, '{}');
  known text;
  said text;
BEGIN
  IF jsonb_typeof(given) <> 'object' THEN
    RAISE EXCEPTION 'parameters is not a JSON object' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example ''{"guidance": 3.5, "steps": 28}''.';
  ELSIF given ->> 'style' IS NOT NULL THEN
    prompt := image_gen.styled_prompt(own_prompt, given ->> 'style');
    left_over := prompt;
  END IF;
  -- What a rule has replaced the ones after it do not see, as in rewrite_prompt().
  FOR one IN SELECT r.pattern, r.replacement, r.note FROM image_gen.rewrite_rules r WHERE r.enabled ORDER BY r.position LOOP
    RETURN QUERY
      SELECT 'risky_word', m.found[1], one.replacement, one.note
        FROM regexp_matches(left_over, regexp_replace(one.pattern, '^(\(\?[a-z]+\))?(.*)$', '\1(\2)'), 'gi') AS m(found);
    left_over := regexp_replace(left_over, one.pattern, one.replacement, 'gi');
  END LOOP;
  IF model IS NOT NULL THEN
    -- Resolved, and held against what the model takes: as generate() would, but that it says all and raises nothing.
    BEGIN
      SELECT e.model, e.warnings INTO STRICT one
        FROM image_gen.estimate('generate', given - '{approvers}'::text[] || jsonb_build_object('prompt', own_prompt, 'model', model)) e;
      known := one.model;
      RETURN QUERY SELECT w ->> 'code', NULL::text, NULL::text, w ->> 'message' FROM jsonb_array_elements(one.warnings) w WHERE w ->> 'code' <> 'unpriced';
    EXCEPTION WHEN invalid_parameter_value OR feature_not_supported OR program_limit_exceeded THEN
      GET STACKED DIAGNOSTICS said = MESSAGE_TEXT;
      RETURN QUERY SELECT 'refused', NULL::text, NULL::text, said;
    END;
    known := coalesce(known, lower(regexp_replace(btrim(model), '^[a-z0-9_-]+:', '')));
  END IF;
  RETURN QUERY
  SELECT l.rule, coalesce(given ->> l.parameter, regexp_substr(prompt, l.pattern, 1, 1, 'i')), l.instead, l.message
    FROM image_gen.lint_rules l
   WHERE l.enabled
     AND (l.pattern IS NULL OR prompt ~* l.pattern) AND (l.unless IS NULL OR prompt !~* l.unless)
     AND (l.models IS NULL OR known LIKE ANY (l.models))
     AND (l.parameter IS NULL
          OR jsonb_typeof(given -> l.parameter) = 'number' AND NOT (given ->> l.parameter)::numeric BETWEEN coalesce(l.low, '-Infinity') AND coalesce(l.high, 'Infinity'))
     AND (l.without IS NULL OR NOT jsonb_strip_nulls(given) ?| l.without)
   ORDER BY l.position;
END $$;
COMMENT ON FUNCTION image_gen.lint_prompt(text, text, jsonb) IS
'What may go wrong with a prompt, before any money is spent: words that safety filters are nervous about (risky_word, see image_gen.rewrite_rules), rows of image_gen.lint_rules that apply, and, where a model
is named, what it does not take, or for what generate() would refuse the request (refused). parameters: other arguments of generate(), by name (with a style the whole prompt is looked at), and approvers: how many must agree. word: what
it is about, softer: what to write instead.';

CREATE TABLE image_gen.request_rules (
  position  image_gen.positive PRIMARY KEY,
  rule      text NOT NULL UNIQUE,
  pattern   text NOT NULL,
  unless    text,
  operation text NOT NULL CHECK (operation IN ('generate', 'edit', 'upscale', 'variate', 'transfer_style', 'character_sheet')),
  arguments image_gen.jsonb_object NOT NULL DEFAULT '{}',
  needs     text[] NOT NULL DEFAULT '{}',
  reason    text NOT NULL,
  enabled   boolean NOT NULL DEFAULT true,
  origin    image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.request_rules IS 'The decision tree of classify_request(): the first row whose pattern is in the request decides.';
COMMENT ON COLUMN image_gen.request_rules.position IS 'The order. A row of an administrator takes the place of the shipped one at its position, or of its name.';
COMMENT ON COLUMN image_gen.request_rules.rule IS 'Its name, which classify_request() returns.';
COMMENT ON COLUMN image_gen.request_rules.pattern IS 'A regular expression, whatever the case.';
COMMENT ON COLUMN image_gen.request_rules.unless IS 'One that must not be there.';
COMMENT ON COLUMN image_gen.request_rules.operation IS 'The function to call.';
COMMENT ON COLUMN image_gen.request_rules.arguments IS 'Arguments that follow from it.';
COMMENT ON COLUMN image_gen.request_rules.needs IS 'Arguments that the caller must give.';
COMMENT ON COLUMN image_gen.request_rules.reason IS 'For people.';
COMMENT ON COLUMN image_gen.request_rules.enabled IS 'Off: left out.';
COMMENT ON COLUMN image_gen.request_rules.origin IS 'catalogue: as shipped. admin: written or changed here.';
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.request_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.request_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_rule();
INSERT INTO image_gen.request_rules (position, rule, pattern, unless, operation, arguments, needs, reason, origin) VALUES
  (10, 'sheet', '\m(character|expression|turnaround|model) sheets?\M', NULL, 'character_sheet', '{}', '{}', 'several stages that keep one character', 'catalogue'),
  (20, 'same_character', '\m(the |this |that |her |his )?same (character|person|face|woman|man|girl|boy|guy|mascot|hero|heroine|dog|cat|avatar)\M|\m(this|that|my) (character|mascot|avatar)\M.*\m(expression|pose|outfit|scene|angle|smiling|laughing|crying|angry)\M',
   NULL, 'generate', '{"consistency_mode": "strict"}', '{reference_image}', 'the same character again', 'catalogue'),
  (30, 'new', '^\W*((hi|hey|hello|please|pls|can|could|would|will|you|i|we|want|need|like|d|to|let''?s|now|ok(ay)?|us)\W+)*(generate|create|draw|imagine|paint|render|design|illustrate|sketch|visuali[sz]e|compose)\M',
   '\m(variations?|variants?|alternatives?|versions of|this|that|these|it|my|existing|attached|uploaded|original|more like)\M', 'generate', '{}', '{}', 'a new image', 'catalogue'),
  (40, 'upscale', '\m(up-?scal(e|ing)|super-?resolution|enlarge|upres|up-?size|sharpen|(higher |better |more |(increase|improve|double|quadruple) (the |its )?)resolution|higher[- ]res|hi-?res version|sharper|crisper|less (blurry|pixelated)|(bigger|larger) for print|make (it|this|that|the \w+) (bigger|larger|[24]x|[24]k)|to [248]k|[24]x (bigger|larger|the size|resolution))\M',
   NULL, 'upscale', '{"scale": 2}', '{image}', 'the same image, larger', 'catalogue'),
  (50, 'style', '\m(style transfer|transfer (the |this |that )?style|re-?style|(in|with|use|using|apply|applying|match|matching|copy|keep) (the |this |that |these )(same |visual |painting |art )*(style|look|aesthetic)|(look|looks|looking) like (this|that|the) (style|painting|picture|image|reference|photo|one|poster)|same (style|look|aesthetic) as|in the style of (this|that|the (second|other|reference|attached)))\M',
   NULL, 'transfer_style', '{}', '{image,style_image}', 'an image in the look of another', 'catalogue'),
  (60, 'variations', '\m(variations?|variants?|alternatives?|alternative versions?|(other|different|more|few|couple of|several|[0-9]+|two|three|four|five) (versions?|options|takes|ideas)|(more|others|something) like (this|that|it))\M',
   NULL, 'variate', '{"n": 3}', '{image}', 'images like this one', 'catalogue'),
  (70, 'outpaint', '\m(out-?paint|un-?crop|extend|expand|widen|zoom out|(add|more|extra|give (it|me)( some)? (more|extra)) (more |extra |some )?(space|room|canvas|background|sky|border|margin)s? (to|on|at|above|below|around|left|right)|beyond (the|its) (border|edge|frame)s?|continue the (picture|image|scene|background))\M',
   NULL, 'edit', '{"mode": "outpaint"}', '{image,borders}', 'more image around an image', 'catalogue'),
  (80, 'inpaint', '\m(in-?paint|remove|erase|delete|get rid of|take (out|away)|cut out|fill (in|this|the)|fix (this|that|the|his|her|its) (area|spot|part|region|corner|patch|hand|hands|eye|eyes|face|finger|fingers)|clean up|retouch|cover up|patch|heal|replace (this|the|that) (area|part|spot|region)|only (here|this area|the marked))\M',
   NULL, 'edit', '{"mode": "inpaint"}', '{image,mask}', 'one part of an image anew', 'catalogue'),
  (90, 'edit', '\m(edit|change|modify|transform|adjust|alter|tweak|convert|recolou?r|colou?ri[sz]e|brighten|darken|swap|replace|turn (this|it|that|the|my|her|him|them)|make (this|it|that|the|my|her|him|them|everything)|add (\w+ )+to (this|it|that|the|my)|put (\w+ )+(on|in|into|behind|next to) (this|it|that|the|my|her|him))\M',
   NULL, 'edit', '{"mode": "img2img"}', '{image}', 'an image changed as a whole', 'catalogue'),
  (100, 'new_picture', '\m(generate|create|draw|imagine|paint|render|design|illustrate|sketch|visuali[sz]e|make|give|show|picture|photo|photograph|image|illustration|drawing|painting|logo|poster|portrait|wallpaper|icon)\M',
   NULL, 'generate', '{}', '{}', 'a new image', 'catalogue');
SELECT pg_catalog.pg_extension_config_dump('image_gen.request_rules', $$WHERE origin = 'admin'$$);

CREATE FUNCTION image_gen.classify_request(request text, OUT operation text, OUT arguments jsonb, OUT needs text[], OUT rule text, OUT phrase text, OUT reason text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  number text;
BEGIN
  SELECT r.operation, r.arguments, r.needs, r.rule, regexp_substr($1, r.pattern, 1, 1, 'i'), r.reason INTO operation, arguments, needs, rule, phrase, reason
    FROM image_gen.request_rules r
   WHERE r.enabled AND $1 ~* r.pattern AND (r.unless IS NULL OR $1 !~* r.unless)
   ORDER BY r.position LIMIT 1;
  IF operation IS NULL THEN
    SELECT 'generate', '{}', '{}', 'no phrase decides: a description is a new image' INTO operation, arguments, needs, reason;
  END IF;
  IF operation = 'upscale' AND $1 ~* '\m(4 ?x|x ?4|four times|quadruple|[48] ?k)\M' THEN
    arguments := arguments || '{"scale": 4}';
  ELSIF operation = 'variate' THEN
    number := (regexp_match($1, '\m([0-9]{1,2}|two|three|four|five|six|a couple)\M', 'i'))[1];
    IF number ~ '^[0-9]+$' THEN
      arguments := arguments || jsonb_build_object('n', least(greatest(number::integer, 1), 10));
    ELSIF number IS NOT NULL THEN
      arguments := arguments || jsonb_build_object('n', coalesce(1 + array_position('{two,three,four,five,six}', lower(number)), 2));
    END IF;
  ELSIF operation = 'generate' THEN
    arguments := arguments || jsonb_strip_nulls(jsonb_build_object('aspect_ratio', (regexp_match($1, '\m([0-9]{1,2}:[0-9]{1,2})\M'))[1]));
  END IF;
  phrase := btrim(phrase);
END $$;
COMMENT ON FUNCTION image_gen.classify_request IS
'Which operation everyday words ask for, by image_gen.request_rules: its name (character_sheet is several jobs), the arguments that follow from the words (mode, scale, n, consistency_mode, aspect_ratio), those that
the caller must still give (needs), the rule, the phrase that decided, and the reason. Where no phrase decides it is generate, and phrase is NULL. It asks no model.';

SET LOCAL search_path = image_gen, pg_temp;
