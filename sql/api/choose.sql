-- Deciding without spending: which model, which route, which words.

SET LOCAL search_path = pg_catalog, pg_temp;

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
COMMENT ON FUNCTION image_gen.rewrite_prompt(text) IS 'The prompt in softer words, by image_gen.rewrite_rules; the same prompt when none applies. What the first step of the ladder does.';

CREATE FUNCTION image_gen.choose_model(
  needs_text boolean DEFAULT false, photoreal boolean DEFAULT false, draft boolean DEFAULT false, stylized boolean DEFAULT false,
  editing boolean DEFAULT false, priority text DEFAULT NULL,
  OUT model text, OUT rule text, OUT reason text, OUT configured boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT c.model, c.rule, c.reason, c.model IS NOT NULL INTO model, rule, reason, configured
    FROM image_gen_internal.choose_candidates(coalesce($1, false), coalesce($2, false), coalesce($3, false), coalesce($4, false), coalesce($5, false), $6) c;
END $$;
COMMENT ON FUNCTION image_gen.choose_model IS
'A model for what is wanted, by image_gen.model_rules: its name, the rule and the reason. Only a model whose provider has a key is named;
where there is none, model is NULL and the reason says what to configure.';

CREATE FUNCTION image_gen.explain(operation text, arguments jsonb)
RETURNS TABLE ("position" integer, provider text, model text, included boolean, reason text, probability numeric, estimated_cost numeric,
               estimated_seconds numeric, warnings jsonb, request jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM image_gen_internal.check_amount('max_cost', (arguments ->> 'max_cost')::numeric, 'Give an amount in USD from 0 up, or leave it out.');
  RETURN QUERY
  SELECT (r ->> 'position')::integer, r ->> 'provider', r ->> 'model', (r ->> 'included')::boolean, r ->> 'reason',
         (r ->> 'probability')::numeric, (r ->> 'estimated_cost')::numeric, (r ->> 'estimated_seconds')::numeric,
         r -> 'warnings', nullif(r -> 'request', 'null')
    FROM jsonb_array_elements(image_gen_internal.explain_request(operation, arguments::text, (arguments ->> 'max_cost')::numeric)) r;
END $$;
COMMENT ON FUNCTION image_gen.explain(text, jsonb) IS
'The route of a request without sending it: who would be tried in which order and why, who is out and why, how likely each is to come first, what it would
cost and take, and what it would be sent, keys masked. arguments: those of the operation (generate, edit, upscale, variate, transfer_style).';

CREATE VIEW image_gen.capabilities AS
SELECT p.id AS provider, m.name AS model, c.task, c.parameter, c.state, c."as" AS sent_as
  FROM image_gen.models m
  JOIN image_gen.providers p ON p.kind = m.provider_kind AND (m.provider IS NULL OR m.provider = p.id)
 CROSS JOIN LATERAL jsonb_to_recordset(image_gen_internal.model_capabilities(p.id, m.name)) AS c(task text, parameter text, state text, "as" text)
 WHERE m.successor IS NULL;
COMMENT ON VIEW image_gen.capabilities IS
'What each model really does with each parameter in each task, found out by preparing requests: forwarded, renamed (sent_as says to what), converted, unsupported
(a warning or an error says so). Ask for one model: the whole view takes seconds.';

COMMENT ON FUNCTION image_gen.needs_text(text) IS
'Whether a prompt asks for legible text in the image: it quotes more than one word. Such a job goes to a model that writes legibly, when it names none.';

SET LOCAL search_path = image_gen, pg_temp;