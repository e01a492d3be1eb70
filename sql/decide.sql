-- Deciding without spending: which model, which route, which words.

SET LOCAL search_path = pg_catalog, pg_temp;

INSERT INTO image_gen.ladder (rung, action, origin) VALUES
  (1, 'rewrite', 'catalogue'), (2, 'switch_model', 'catalogue'), (3, 'review', 'catalogue');

-- Classifiers are nervous about words that are harmless in a shop: bodies, skin, sleep, injuries, brands.
INSERT INTO image_gen.rewrite_rules (position, pattern, replacement, note, origin) VALUES
  (10, '\m(a|an) (young |old |beautiful |attractive |pretty )*(woman|man|girl|boy|lady|guy|teenager|teen)\M', 'a person', 'no age, sex or looks', 'catalogue'),
  (11, '\m(young |beautiful |attractive |pretty )*(women|men|girls|boys|ladies|guys|teenagers|teens)\M', 'people', 'no age, sex or looks', 'catalogue'),
  (12, '\m(young |old |beautiful |attractive |pretty )*(woman|man|girl|boy|lady|guy|teenager|teen)\M', 'person', 'no age, sex or looks', 'catalogue'),
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
  found text;
  put text;
  at integer;
  first integer;
  past integer;
BEGIN
  FOR rule IN SELECT r.pattern, r.replacement FROM image_gen.rewrite_rules r WHERE r.enabled ORDER BY r.position LOOP
    at := 1;
    -- One after the other, because each is written as what it replaces: at the start of a sentence, in capitals.
    LOOP
      first := regexp_instr(softer, rule.pattern, at, 1, 0, 'i');
      -- NULL: there is no text.
      EXIT WHEN first = 0 OR first IS NULL;
      past := regexp_instr(softer, rule.pattern, at, 1, 1, 'i');
      found := substr(softer, first, past - first);
      put := regexp_replace(softer, rule.pattern, rule.replacement, at, 1, 'i');
      put := substr(put, first, length(put) - (length(softer) - (past - first)));
      IF found ~ '[[:upper:]].*[[:upper:]]' AND found = upper(found) THEN
        put := upper(put);
      ELSIF found ~ '^[[:upper:]]' THEN
        put := upper(left(put, 1)) || substr(put, 2);
      END IF;
      softer := left(softer, first - 1) || put || substr(softer, past);
      -- Of nothing that was found nothing is passed over; the next search begins further on.
      at := first + length(put) + (past = first)::integer;
    END LOOP;
  END LOOP;
  IF softer = prompt THEN
    RETURN prompt;
  END IF;
  RETURN regexp_replace(btrim(softer), '\s+', ' ', 'g');
END $$;
COMMENT ON FUNCTION image_gen.rewrite_prompt(text) IS 'The prompt in softer words, by image_gen.rewrite_rules; the same prompt when none applies. What the first rung of the ladder does.';

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

CREATE FUNCTION image_gen.choose_model(
  needs_text boolean DEFAULT false, photoreal boolean DEFAULT false, draft boolean DEFAULT false, stylized boolean DEFAULT false,
  editing boolean DEFAULT false, priority text DEFAULT NULL,
  OUT model text, OUT rule text, OUT reason text, OUT configured boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT c.model, c.rule, c.reason, c.model IS NOT NULL INTO model, rule, reason, configured
    FROM image_gen._choose(coalesce($1, false), coalesce($2, false), coalesce($3, false), coalesce($4, false), coalesce($5, false), $6) c;
END $$;
COMMENT ON FUNCTION image_gen.choose_model IS
'A model for what is wanted, by image_gen.model_rules: its name, the rule and the reason. Only a model that somebody has a key for is named;
where there is none, model is NULL and the reason says what to configure.';

CREATE FUNCTION image_gen.explain(operation text, arguments jsonb)
RETURNS TABLE ("position" integer, provider text, model text, included boolean, reason text, probability numeric, estimated_cost numeric,
               estimated_seconds numeric, warnings jsonb, request jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM image_gen._check_policy(image_gen._caller(), arguments -> 'options', false);
  PERFORM image_gen._bounded('max_cost', (arguments ->> 'max_cost')::numeric, 'Give an amount in USD from 0 up, or leave it out.');
  RETURN QUERY
  SELECT (r ->> 'position')::integer, r ->> 'provider', r ->> 'model', (r ->> 'included')::boolean, r ->> 'reason',
         (r ->> 'probability')::numeric, (r ->> 'estimated_cost')::numeric, (r ->> 'estimated_seconds')::numeric,
         r -> 'warnings', nullif(r -> 'request', 'null')
    FROM jsonb_array_elements(image_gen._explain(operation, arguments::text, (arguments ->> 'max_cost')::numeric)) r;
END $$;
COMMENT ON FUNCTION image_gen.explain(text, jsonb) IS
'The route of a request without sending it: who would be tried in which order and why, who is out and why, how likely each is to come first, what it would
cost and take, and what it would be sent, keys masked. arguments: those of the operation (generate, edit, upscale, variate, transfer_style).';

CREATE VIEW image_gen.capabilities AS
SELECT p.id AS provider, m.name AS model, c.task, c.parameter, c.state, c."as" AS sent_as
  FROM image_gen.models m
  JOIN image_gen.providers p ON p.kind = m.provider_kind AND (m.provider IS NULL OR m.provider = p.id)
 CROSS JOIN LATERAL jsonb_to_recordset(image_gen._capabilities(p.id, m.name)) AS c(task text, parameter text, state text, "as" text)
 WHERE m.successor IS NULL;
COMMENT ON VIEW image_gen.capabilities IS
'What each model really does with each parameter in each task, found out by preparing requests: forwarded, renamed (sent_as says to what), converted, unsupported
(a warning or an error says so). Ask for one model: the whole view takes seconds.';

CREATE VIEW image_gen.provider_health AS
WITH day AS (
  -- Each call of the last day is read once.
  SELECT a.provider, a.model, count(*) FILTER (WHERE a.status <> 'running') AS calls,
         round(avg((a.status = 'succeeded')::integer) FILTER (WHERE a.status <> 'running'), 4) AS success_rate,
         percentile_cont('{0.5,0.95}'::float8[]) WITHIN GROUP (ORDER BY a.render_seconds) FILTER (WHERE a.status = 'succeeded') AS seconds
    FROM image_gen.attempts a WHERE a.created_at > now() - interval '1 day' GROUP BY a.provider, a.model
), flying AS (
  SELECT a.provider, a.model, count(*) AS in_flight
    FROM image_gen.queue q
   CROSS JOIN LATERAL (SELECT t.provider, t.model FROM image_gen.attempts t WHERE t.job_id = q.job_id AND t.status = 'running' OFFSET 0) a
   WHERE q.attempts > 0 GROUP BY a.provider, a.model
)
SELECT p.id AS provider, m.model, CASE WHEN h.state <> 'up' THEN h.state ELSE coalesce(w.state, 'up') END AS state,
       CASE WHEN h.state <> 'up' THEN h.since ELSE coalesce(w.since, h.since) END AS since,
       coalesce(f.in_flight, 0) AS in_flight, p.max_in_flight, coalesce(h.last_error_code, w.last_error_code) AS last_error_code,
       coalesce(h.last_error_at, w.last_error_at) AS last_error_at, coalesce(d.calls, 0) AS calls, d.success_rate,
       round(d.seconds[1]::numeric, 3) AS p50_seconds, round(d.seconds[2]::numeric, 3) AS p95_seconds,
       b.amount AS balance, b.credits AS balance_credits, b.checked_at AS balance_at
  FROM image_gen.providers p
  JOIN (SELECT d.provider, d.model FROM day d UNION SELECT k.provider, k.model FROM image_gen.health k WHERE k.model <> '') m ON m.provider = p.id
  LEFT JOIN day d ON d.provider = p.id AND d.model = m.model
  LEFT JOIN flying f ON f.provider = p.id AND f.model = m.model
  LEFT JOIN image_gen.health h ON h.provider = p.id AND h.model = m.model
  LEFT JOIN image_gen.health w ON w.provider = p.id AND w.model = ''
  LEFT JOIN image_gen.provider_balances b ON b.provider = p.id;
COMMENT ON VIEW image_gen.provider_health IS
'How each provider and model that was used within a day is doing: up, down (left alone after failures in a row, probed after a pause) or recovering (a few calls
at a time), since when, what is in flight, the last error, calls, success rate and seconds of the last 24 hours, and what is left on the account (USD), where the
provider says so. No rows of anybody''s are shown.';

SET LOCAL search_path = image_gen, pg_temp;
