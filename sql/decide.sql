-- Deciding without spending: which model, which route, which words.

INSERT INTO image_gen.ladder (rung, action, origin) VALUES
  (1, 'rewrite', 'catalogue'), (2, 'switch_model', 'catalogue'), (3, 'review', 'catalogue');

-- Classifiers are nervous about words that are harmless in a shop: bodies, skin, sleep, injuries, brands.
INSERT INTO image_gen.rewrite_rules (position, pattern, replacement, note, origin) VALUES
  (10, '\m(a|an) (young |old |beautiful |attractive |pretty )*(woman|man|girl|boy|lady|guy|teenager|teen)\M', 'a person', 'no age, sex or looks', 'catalogue'),
  (11, '\m(young |beautiful |attractive |pretty )*(women|men|girls|boys|ladies|guys|teenagers|teens)\M', 'people', 'no age, sex or looks', 'catalogue'),
  (20, '\m(with )?(her |his |their )?eyes (are )?closed\M', 'calm expression', 'asleep or dead looks alike', 'catalogue'),
  (21, '\m(asleep|sleeping|unconscious)\M', 'resting', NULL, 'catalogue'),
  (30, '\m(and )?(is )?(back)?lit from behind\M', 'backlit golden hour, head and shoulders only', 'silhouettes of bodies', 'catalogue'),
  (40, '\m(bare|naked|nude|exposed) (skin|shoulders|back|legs|arms|feet|body)\M', 'simple clothing', NULL, 'catalogue'),
  (41, '\m(naked|nude|topless|undressed|lingerie|bikini)\M', 'fully clothed', NULL, 'catalogue'),
  (42, '\m(sexy|seductive|sensual|erotic|provocative)\M', 'elegant', NULL, 'catalogue'),
  (50, '\mskin\M', 'complexion', NULL, 'catalogue'),
  (51, '\m(body|bodies|anatomy|anatomical)\M', 'figure', NULL, 'catalogue'),
  (60, '\m(blood|bloody|gore|gory)\M', 'red', NULL, 'catalogue'),
  (61, '\m(kill|killing|dead|corpse|murder|wound|wounded|injured)\M', 'still', NULL, 'catalogue'),
  (62, '\m(gun|guns|rifle|pistol|weapon|weapons|knife|knives)\M', 'tool', NULL, 'catalogue'),
  (63, '\m(shooting|shot) (of|at)\M', 'picture of', NULL, 'catalogue'),
  (70, '(?c)\min the style of [A-Z][[:alpha:]]+( [A-Z][[:alpha:]]+)*', 'in a distinctive style', 'living artists', 'catalogue');

COMMENT ON FUNCTION image_gen.needs_text(text) IS
'Whether a prompt asks for legible text in the picture: it quotes more than one word. Such a job goes to a model that writes legibly, when it names none.';

CREATE FUNCTION image_gen.rewrite_prompt(prompt text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  rule record;
  softer text := prompt;
BEGIN
  FOR rule IN SELECT r.pattern, r.replacement FROM image_gen.rewrite_rules r WHERE r.enabled ORDER BY r.position LOOP
    softer := regexp_replace(softer, rule.pattern, rule.replacement, 'gi');
  END LOOP;
  IF softer = prompt THEN
    RETURN prompt;
  END IF;
  -- The case of the first letter stays, and what was joined by "and" twice is joined once.
  softer := regexp_replace(btrim(softer), '\s+', ' ', 'g');
  RETURN CASE WHEN left(btrim(prompt), 1) ~ '[[:upper:]]' THEN upper(left(softer, 1)) || substr(softer, 2) ELSE softer END;
END $$;
COMMENT ON FUNCTION image_gen.rewrite_prompt(text) IS 'The prompt in softer words, by image_gen.rewrite_rules; the same prompt when none applies. What the first rung of the ladder does.';

CREATE FUNCTION image_gen.lint_prompt(prompt text)
RETURNS TABLE (word text, softer text, note text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT m[1], r.replacement, r.note
    FROM image_gen.rewrite_rules r
   CROSS JOIN LATERAL regexp_matches($1, regexp_replace(r.pattern, '^(\(\?[a-z]+\))?(.*)$', '\1(\2)'), 'gi') AS m
   WHERE r.enabled
   ORDER BY r.position
$$;
COMMENT ON FUNCTION image_gen.lint_prompt(text) IS 'The words of a prompt that safety filters are nervous about, before any money is spent; see image_gen.rewrite_rules.';

INSERT INTO image_gen.model_rules (position, rule, needs_text, photoreal, draft, stylized, editing, priority, models, reason, origin) VALUES
  (10, 'privacy',  NULL, NULL, NULL, NULL, NULL, 'privacy', '{a1111:sd-local,comfyui:sd-xl-base}', 'nothing leaves the machine', 'catalogue'),
  (20, 'editing',  NULL, NULL, NULL, NULL, true, NULL, '{flux-2-pro,gpt-image-2.6-flare,flux-kontext-pro,sd3.5-large,gemini-nano-banana-2.1}',
   'a picture is there: a text-to-image call would be the wrong shape', 'catalogue'),
  (30, 'text',     true, NULL, NULL, NULL, NULL, NULL, '{gpt-image-2.6-flare,ideogram-4.5,ideogram-v2,ideogram-v3-turbo,gemini-nano-banana-2.1}',
   'legible text: FLUX and SDXL mangle anything longer than a single word', 'catalogue'),
  (40, 'draft',    NULL, NULL, true, NULL, NULL, NULL, '{sdxl-lightning,flux-schnell,flux-2-klein-4b,sd3.5-flash}',
   'a first look in less than three seconds', 'catalogue'),
  (50, 'stylized', NULL, NULL, NULL, true, NULL, NULL, '{playground-v2.5,hidream-i1-full,hidream-i1-dev,flux-2-flex}',
   'illustrations and posters: better at what is not photoreal than FLUX', 'catalogue'),
  (60, 'quality',  NULL, NULL, NULL, NULL, NULL, 'quality', '{gpt-image-2.6-sunburst,gpt-image-2.6-flare,gemini-3-pro-image,flux-2-max}', 'highest fidelity and prompt adherence', 'catalogue'),
  (61, 'control',  NULL, NULL, NULL, NULL, NULL, 'control', '{stable-image-ultra,sd3.5-large,sd-local}', 'negative prompts, style presets, guidance', 'catalogue'),
  (62, 'speed',    NULL, NULL, NULL, NULL, NULL, 'speed', '{flux-2-klein-4b,flux-schnell,flux-1.1-pro}', 'fast with strong quality', 'catalogue'),
  (63, 'variety',  NULL, NULL, NULL, NULL, NULL, 'variety', '{replicate:flux-dev,fal:flux-dev}', 'many community models beside it', 'catalogue'),
  (70, 'photoreal', NULL, true, NULL, NULL, NULL, NULL, '{flux-1.1-pro,flux-2-pro}', 'photoreal products without text, 6 to 12 seconds', 'catalogue'),
  (90, 'usual',    NULL, NULL, NULL, NULL, NULL, NULL, '{flux-1.1-pro,gpt-image-2.6-flare,stable-image-core,flux-dev,gemini-nano-banana-2.1,ideogram-4.5,sd-local,sd-xl-base}',
   'nothing special was asked for', 'catalogue');

CREATE FUNCTION image_gen._is_configured(asked text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  target image_gen._target;
  keys text[] := (SELECT w.configured FROM image_gen.worker_state w);
BEGIN
  target := image_gen._resolve_model(asked);
  RETURN EXISTS (
    SELECT FROM image_gen.models m JOIN image_gen.providers p ON p.kind = m.provider_kind AND p.enabled
     WHERE m.name = target.model AND (target.provider IS NULL OR p.id = target.provider)
       AND image_gen._has_access(p.kind, p.base_url, p.key_name, keys));
EXCEPTION WHEN undefined_object THEN
  RETURN false;
END $$;
COMMENT ON FUNCTION image_gen._is_configured(text) IS 'Whether somebody has a key for a model, as far as the worker has said which keys it has.';

CREATE FUNCTION image_gen.choose_model(
  needs_text boolean DEFAULT false, photoreal boolean DEFAULT false, draft boolean DEFAULT false, stylized boolean DEFAULT false,
  editing boolean DEFAULT false, priority text DEFAULT NULL,
  OUT model text, OUT rule text, OUT reason text, OUT configured boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  row_ image_gen.model_rules;
  candidate text;
  first_rule image_gen.model_rules;
BEGIN
  IF $6 NOT IN ('quality', 'control', 'speed', 'variety', 'cost', 'privacy') THEN
    RAISE EXCEPTION 'priority ''%'' does not exist', $6 USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use one of: quality, control, speed, variety, cost, privacy.';
  END IF;
  IF $6 = 'cost' AND NOT (coalesce($1, false) OR coalesce($3, false) OR coalesce($4, false) OR coalesce($5, false)) THEN
    -- The one rule that is no row: the price table decides.
    SELECT p.id || ':' || m.name INTO model
      FROM image_gen.models m
      JOIN image_gen.providers p ON p.kind = m.provider_kind AND p.enabled AND p.kind <> 'preview'
      JOIN LATERAL (SELECT min(r.amount) AS amount FROM image_gen.prices r
                     WHERE r.model = m.name AND r.provider_kind = m.provider_kind AND r.unit IN ('image', 'megapixel', 'begun_megapixel', 'first_megapixel')
                       AND r.currency = 'USD' AND current_date >= r.valid_from AND current_date < r.valid_to) c ON c.amount IS NOT NULL
     WHERE m.successor IS NULL AND m.name <> '*' AND m.operations @> '{generate}'
       AND image_gen._has_access(p.kind, p.base_url, p.key_name, (SELECT w.configured FROM image_gen.worker_state w))
     ORDER BY c.amount, p.priority, m.name LIMIT 1;
    rule := 'cost';
    reason := CASE WHEN model IS NULL THEN 'no model with a list price is configured: set a provider''s key' ELSE 'the lowest list price of a picture' END;
    configured := model IS NOT NULL;
    RETURN;
  END IF;
  FOR row_ IN
    SELECT r.* FROM image_gen.model_rules r
     WHERE (r.needs_text IS NULL OR r.needs_text = coalesce($1, false)) AND (r.photoreal IS NULL OR r.photoreal = coalesce($2, false))
       AND (r.draft IS NULL OR r.draft = coalesce($3, false)) AND (r.stylized IS NULL OR r.stylized = coalesce($4, false))
       AND (r.editing IS NULL OR r.editing = coalesce($5, false)) AND (r.priority IS NULL OR r.priority = $6)
     ORDER BY r.position
  LOOP
    IF first_rule.position IS NULL THEN
      first_rule := row_;
    END IF;
    FOREACH candidate IN ARRAY row_.models LOOP
      IF image_gen._is_configured(candidate) THEN
        model := candidate;
        rule := row_.rule;
        reason := row_.reason;
        configured := true;
        RETURN;
      END IF;
    END LOOP;
    -- What a rule demands is not given up for what somebody happens to have a key for.
    EXIT;
  END LOOP;
  rule := first_rule.rule;
  configured := false;
  reason := format('%s: %s would do, but none of them is configured; set a key of their providers (%s)', first_rule.reason,
                   array_to_string(first_rule.models, ', '),
                   (SELECT string_agg(DISTINCT image_gen._key_of(p.kind, p.key_name), ', ')
                      FROM unnest(first_rule.models) AS u(name)
                      JOIN image_gen.models m ON m.name = split_part(u.name, ':', 1 + (strpos(u.name, ':') > 0)::integer)
                      JOIN image_gen.providers p ON p.kind = m.provider_kind
                       AND (strpos(u.name, ':') = 0 OR p.id = split_part(u.name, ':', 1))));
END $$;
COMMENT ON FUNCTION image_gen.choose_model IS
'A model for what is wanted, by image_gen.model_rules: its name, the rule and the reason. Only a model that somebody has a key for is named;
where there is none, model is NULL and the reason says what to configure.';

CREATE FUNCTION image_gen.explain(operation text, arguments jsonb)
RETURNS TABLE ("position" integer, provider text, model text, included boolean, reason text, probability numeric, estimated_cost numeric,
               estimated_seconds numeric, warnings jsonb, request jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  asked jsonb := image_gen._named(operation, arguments);
  job_id text := image_gen._new_job_id();
  checked jsonb;
  target image_gen._target;
  known text[] := (SELECT array_agg(p.id ORDER BY p.id) FROM image_gen.providers p);
BEGIN
  checked := image_gen._check(job_id, operation, asked::text);
  target := image_gen._target_for(operation, checked, arguments ->> 'model');
  RETURN QUERY
  SELECT (r ->> 'position')::integer, r ->> 'provider', r ->> 'model', (r ->> 'included')::boolean, r ->> 'reason',
         (r ->> 'probability')::numeric, (r ->> 'estimated_cost')::numeric, (r ->> 'estimated_seconds')::numeric,
         r -> 'warnings', nullif(r -> 'request', 'null')
    FROM jsonb_array_elements(image_gen._explain(
           job_id, operation, checked ->> 'request', target.provider, target.model,
           image_gen._candidates(checked ->> 'task', coalesce(target.model, image_gen._usual_model(operation, checked)), target.provider)::text,
           image_gen._preferences((arguments -> 'provider_preferences')::text, known)::text, known,
           (arguments ->> 'max_cost')::numeric, (SELECT w.configured FROM image_gen.worker_state w), checked ->> 'priority')) r;
  -- Who can do nothing of the kind is no candidate at all; it is said all the same.
  RETURN QUERY
  SELECT NULL::integer, p.id, NULL::text, false, 'not_supported', NULL::numeric, NULL::numeric, NULL::numeric, '[]'::jsonb, NULL::jsonb
    FROM image_gen.providers p
   WHERE p.enabled AND p.kind <> 'preview' AND (target.provider IS NULL OR p.id = target.provider)
     AND NOT EXISTS (SELECT FROM image_gen.models m
                      WHERE m.provider_kind = p.kind AND m.successor IS NULL
                        AND m.operations && ARRAY[replace(checked ->> 'task', 'character', 'generate'),
                                                  CASE checked ->> 'task' WHEN 'outpaint' THEN 'inpaint' ELSE replace(checked ->> 'task', 'character', 'generate') END])
   ORDER BY p.priority, p.id;
END $$;
COMMENT ON FUNCTION image_gen.explain(text, jsonb) IS
'The route of a request without sending it: who would be tried in which order and why, who is out and why, how likely each is to come first, what it would
cost and take, and what it would be sent, keys masked. arguments: those of the operation (generate, edit, upscale, variate, transfer_style).';

CREATE VIEW image_gen.capabilities AS
SELECT p.id AS provider, m.name AS model, c.task, c.parameter, c.state, c."as" AS sent_as
  FROM image_gen.models m
  JOIN image_gen.providers p ON p.kind = m.provider_kind
 CROSS JOIN LATERAL jsonb_array_elements(image_gen._candidates(NULL, m.name, p.id, true)) AS o(offer)
 CROSS JOIN LATERAL jsonb_to_recordset(image_gen._capabilities(o.offer)) AS c(task text, parameter text, state text, "as" text)
 WHERE m.successor IS NULL;
COMMENT ON VIEW image_gen.capabilities IS
'What each model really does with each parameter in each task, found out by preparing requests: forwarded, renamed (sent_as says to what), converted, unsupported
(a warning or an error says so). Ask for one model: the whole view takes seconds.';

CREATE VIEW image_gen.provider_health AS
SELECT p.id AS provider, m.model, CASE WHEN h.state <> 'up' THEN h.state ELSE coalesce(w.state, 'up') END AS state,
       CASE WHEN h.state <> 'up' THEN h.since ELSE coalesce(w.since, h.since) END AS since,
       coalesce(f.in_flight, 0) AS in_flight, p.max_in_flight, coalesce(h.last_error_code, w.last_error_code) AS last_error_code,
       coalesce(h.last_error_at, w.last_error_at) AS last_error_at, s.calls, s.success_rate, s.p50_seconds, s.p95_seconds,
       b.amount AS balance, b.credits AS balance_credits, b.checked_at AS balance_at
  FROM image_gen.providers p
  JOIN LATERAL (SELECT DISTINCT a.model FROM image_gen.attempts a WHERE a.provider = p.id AND a.created_at > now() - interval '1 day'
                UNION SELECT k.model FROM image_gen.health k WHERE k.provider = p.id AND k.model <> '') m ON true
  LEFT JOIN image_gen.health h ON h.provider = p.id AND h.model = m.model
  LEFT JOIN image_gen.health w ON w.provider = p.id AND w.model = ''
  LEFT JOIN image_gen.provider_balances b ON b.provider = p.id
  LEFT JOIN LATERAL (SELECT count(*) AS in_flight FROM image_gen.attempts a
                      WHERE a.provider = p.id AND a.model = m.model AND a.status = 'running') f ON true
  LEFT JOIN LATERAL (
    SELECT count(*) AS calls,
           round(avg((a.status = 'succeeded')::integer), 4) AS success_rate,
           round(percentile_cont(0.5) WITHIN GROUP (ORDER BY a.render_seconds) FILTER (WHERE a.status = 'succeeded')::numeric, 3) AS p50_seconds,
           round(percentile_cont(0.95) WITHIN GROUP (ORDER BY a.render_seconds) FILTER (WHERE a.status = 'succeeded')::numeric, 3) AS p95_seconds
      FROM image_gen.attempts a
     WHERE a.provider = p.id AND a.model = m.model AND a.status <> 'running' AND a.created_at > now() - interval '1 day') s ON true;
COMMENT ON VIEW image_gen.provider_health IS
'How each provider and model that was used within a day is doing: up, down (left alone after failures in a row, probed after a pause) or recovering (a few calls
at a time), since when, what is in flight, the last error, calls, success rate and seconds of the last 24 hours, and what is left on the account (USD), where the
provider says so. No rows of anybody''s are shown.';
