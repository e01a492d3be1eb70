-- What doctor() looks at: providers, the catalogue, and work that waits for someone.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.models_in_use() RETURNS TABLE (provider text, model text, why text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT u.provider, u.model, string_agg(DISTINCT u.why, ', ')
    FROM (SELECT a.provider, a.model, 'called within 30 days' AS why FROM image_gen.attempts a WHERE a.created_at > now() - interval '30 days' GROUP BY a.provider, a.model
          UNION ALL
          -- What is written down as a name stands for each provider that it names, or that has the model.
          SELECT p.id, m.name, n.why
            FROM (SELECT current_setting('image_gen.default_model', true), 'image_gen.default_model'
                  UNION ALL SELECT unnest(s.models), 'style ' || s.name FROM image_gen.styles s
                  UNION ALL SELECT d.arguments ->> 'model', 'attached table ' || d.relation_name FROM image_gen.attachment_definitions d
                  UNION ALL SELECT r.model, 'refusal_steps' FROM image_gen.refusal_steps r WHERE r.origin = 'admin') AS n(name, why)
            JOIN image_gen.models m ON lower(n.name) IN (m.name, m.provider_kind || ':' || m.name) OR lower(n.name) = ANY (m.aliases)
            JOIN image_gen.providers p ON p.kind = m.provider_kind AND p.enabled AND (m.provider IS NULL OR m.provider = p.id)) u
   GROUP BY u.provider, u.model;
END $$;
COMMENT ON FUNCTION image_gen_internal.models_in_use() IS 'Models that are used: called lately, or named by a setting, a style, an attached table or a step after a refusal.';

CREATE FUNCTION image_gen_internal.check_providers() RETURNS SETOF image_gen_internal.finding
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  has text[] := (SELECT coalesce(w.configured, '{}') FROM image_gen_internal.worker_state w);
BEGIN
  RETURN QUERY
  SELECT (image_gen_internal.finding('providers', 'failure',
           CASE WHEN bool_and(NOT p.enabled OR f.missing <> '{}' OR NOT f.known) THEN 'no provider that makes images is configured' END,
           'Put a key such as BFL_API_KEY=... into image_gen.secrets_file (or the server''s environment), SELECT pg_reload_conf(), or name a server of your own in image_gen.providers.',
           format('configured: %s; without a key: %s', coalesce(string_agg(p.id, ', ' ORDER BY p.priority, p.id) FILTER (WHERE p.enabled AND f.missing = '{}' AND f.known), 'none'),
                  coalesce(string_agg(p.id, ', ' ORDER BY p.priority, p.id) FILTER (WHERE p.enabled AND f.missing <> '{}'), 'none')))).*
    FROM image_gen_internal.provider_facts() f JOIN image_gen.providers p ON p.id = f.id WHERE NOT f.draws;
  -- Of the shipped ones, those that can be used or were before; of the administrator's own all.
  RETURN QUERY
  SELECT (image_gen_internal.finding('provider ' || p.id, w.severity, w.problem, w.fix, format('configured, %s', CASE h.state WHEN 'recovering' THEN 'recovering' ELSE 'up' END))).*
    FROM image_gen_internal.provider_facts() f JOIN image_gen.providers p ON p.id = f.id
    LEFT JOIN image_gen_internal.provider_breakers h ON h.provider = p.id AND h.model = ''
    -- Of several keys, each has its account.
    LEFT JOIN (SELECT l.provider, max(l.amount) AS amount FROM image_gen.provider_balances l GROUP BY l.provider) b ON b.provider = p.id
   CROSS JOIN LATERAL (SELECT ARRAY(SELECT n FROM unnest(f.needs) n WHERE n <> ALL (has)) AS unread) k
    LEFT JOIN LATERAL (
      SELECT v.severity, v.problem, v.fix FROM (VALUES
        (1, NOT f.known, 'failure', format('there is no adapter of kind %s in this version', p.kind), 'See image_gen.provider_kinds, and install a version that has it; or remove the row.'),
        (2, f.forbidden IS NOT NULL, 'failure', f.forbidden, 'Give base_url as https with a public host, or name its host:port in image_gen.allowed_provider_hosts, and reload.'),
        (3, f.missing <> '{}', 'warning', format('there is no %s', array_to_string(f.missing, ', ')),
         format('Put the line %s=... into image_gen.secrets_file and SELECT pg_reload_conf(); or UPDATE image_gen.providers SET enabled = false WHERE id = %L.', f.missing[1], p.id)),
        (4, k.unread <> '{}', 'warning', format('the worker has not read %s yet', array_to_string(k.unread, ', ')), 'SELECT pg_reload_conf(); where the worker does not run, see there.'),
        (5, h.state = 'down' AND h.last_error_code IN ('auth', 'policy_block'), 'failure', format('it has refused the key (%s) at %s', h.last_error_code, h.last_error_at),
         format('Put a right key in place of %s and SELECT pg_reload_conf(); then SELECT * FROM image_gen.check_provider(%L).', coalesce(f.needs[1], 'its key'), p.id)),
        (6, h.state = 'down' AND h.last_error_code = 'insufficient_credits' OR b.amount <= 0, 'failure', 'its account is empty', 'Top it up at the provider: it is looked at again within five minutes.'),
        (7, h.state = 'down', 'warning', format('it is down since %s (%s)', h.since, h.last_error_code), format('It is tried again by itself. SELECT * FROM image_gen.check_provider(%L) asks it now.', p.id)))
        AS v(rank, applies, severity, problem, fix)
       WHERE v.applies ORDER BY v.rank LIMIT 1) w ON true
   WHERE p.enabled AND NOT f.draws AND (p.origin = 'admin' OR f.missing = '{}' OR h.provider IS NOT NULL) ORDER BY p.priority, p.id;
  RETURN QUERY
  SELECT (image_gen_internal.finding('prices', 'warning', 'in use and without a price: ' || string_agg(u.provider || ':' || u.model, ', ' ORDER BY u.provider, u.model),
           'INSERT INTO image_gen.prices (provider_kind, model, unit, amount, source): until then what they cost is NULL, and no budget lets them be called.', 'all that is in use is priced')).*
    FROM image_gen_internal.models_in_use() u
    JOIN image_gen_internal.provider_facts() f ON f.id = u.provider AND f.bills AND NOT f.draws AND f.missing = '{}'
    JOIN image_gen.providers p ON p.id = u.provider
   WHERE NOT EXISTS (SELECT FROM image_gen.prices r WHERE r.provider_kind = p.kind AND r.model = u.model AND current_date >= r.valid_from AND current_date < r.valid_to);
  RETURN QUERY
  SELECT (image_gen_internal.finding('catalogue', 'warning', CASE WHEN current_date - c.published > 120 THEN format('it is of %s: models have come and gone since', c.published) END,
           'Get image_gen-catalogue-*.json of a newer release, and SELECT * FROM image_gen.import_catalogue(pg_read_file(''...'')::jsonb, dry_run => true).', format('of %s, %s', c.published, c.source))).*
    FROM image_gen_internal.current_catalogue() c;
  RETURN QUERY
  SELECT (image_gen_internal.finding('retired models', 'warning',
           string_agg(format('%s %s (%s)', u.model, CASE WHEN m.successor IS NOT NULL THEN 'is retired: ' || m.successor || ' stands in' WHEN m.ends_on <= current_date THEN 'ended on ' || m.ends_on
                                                     ELSE 'ends on ' || m.ends_on END, u.why), '; ' ORDER BY u.model),
           'Name another model there; image_gen.catalogue_status() lists what ends soon, and import_catalogue() brings newer models.', 'none in use ends within 60 days')).*
    FROM (SELECT DISTINCT ON (i.model, p.kind) i.model, p.kind, i.why FROM image_gen_internal.models_in_use() i JOIN image_gen.providers p ON p.id = i.provider ORDER BY i.model, p.kind, i.why) u
    JOIN image_gen.models m ON m.name = u.model AND m.provider_kind = u.kind AND (m.successor IS NOT NULL OR m.ends_on <= current_date + 60);
END $$;
COMMENT ON FUNCTION image_gen_internal.check_providers() IS 'The lines of doctor() about providers and models.';

CREATE FUNCTION image_gen_internal.check_work(thorough boolean) RETURNS SETOF image_gen_internal.finding
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  store text := coalesce(current_setting('image_gen.asset_store', true), '');
BEGIN
  RETURN QUERY
  SELECT (image_gen_internal.finding('queue', 'warning',
           CASE WHEN q.oldest_ready < clock_timestamp() - interval '10 minutes' THEN format('%s jobs are ready, the oldest since %s', q.ready, q.oldest_ready) END,
           'SELECT (waiting_for).code, (waiting_for).message FROM image_gen.recent() says what each waits for.', format('%s ready, %s in flight, %s put off', q.ready, q.in_flight, q.waiting))).*
    FROM image_gen.queue_stats q;
  RETURN QUERY
  SELECT (image_gen_internal.finding('pauses', 'warning',
           string_agg(concat_ws(': ', format('%s is paused since %s by %s', coalesce('provider ' || z.provider, 'role ' || image_gen_internal.role_name(z.role), 'everything'), z.paused_at, z.paused_by), z.note), '; ' ORDER BY z.id),
           'SELECT image_gen.unpause(...) with the same provider or role goes on.', 'nothing is paused')).*
    FROM image_gen.pauses z;
  RETURN QUERY
  SELECT (image_gen_internal.finding('reviews', 'warning', CASE WHEN min(r.waiting_since) < clock_timestamp() - interval '1 day' THEN format('%s jobs wait for a person, the oldest since %s', count(*), min(r.waiting_since)) END,
           'A member of image_gen_reviewer looks at image_gen.review_queue, and decides with claim_review() and resolve_review().', format('%s wait', count(*)))).*
    FROM image_gen.review_queue r;
  RETURN QUERY
  SELECT (image_gen_internal.finding('unknown costs', 'warning', CASE WHEN count(*) > 0 THEN format('%s calls of unknown cost, the oldest of %s; %s USD stay reserved for them', count(*), min(r.finished_at), sum(r.reserved)) END,
           'Look each of image_gen.cost_reviews up at its provider and say it: SELECT image_gen.settle_cost(job_id, number, billed_cost); or import_invoice().', 'none')).*
    FROM image_gen.cost_reviews r;
  RETURN QUERY
  SELECT (image_gen_internal.finding('budgets', 'warning', CASE WHEN count(*) FILTER (WHERE s.available <= 0) > 0 THEN format('nothing is left of: %s', string_agg(image_gen_internal.budget_name(b), ', ' ORDER BY b.id) FILTER (WHERE s.available <= 0)) END,
           'Jobs that count there are refused. grant_credits() adds to a budget, set_budget() changes it.', format('%s, none used up', count(*)))).*
    FROM image_gen_internal.budget_standings((SELECT array_agg(g.id) FROM image_gen.budgets g), clock_timestamp()) s JOIN image_gen.budgets b ON b.id = s.budget_id;
  IF thorough THEN
    RETURN QUERY
    SELECT (image_gen_internal.finding('books', 'failure', CASE WHEN count(*) > 0 THEN format('%s figures differ from the calls they come from: %s', count(*), min(c.problem)) END,
             'SELECT * FROM image_gen.check_budgets() lists them; settle_cost() says what a changed cost is, recount_budgets() computes the rest anew.', 'every figure follows from the calls')).*
      FROM image_gen.check_budgets() c;
  END IF;
  RETURN QUERY
  SELECT (image_gen_internal.finding('store', v.severity, v.problem, v.fix, CASE WHEN store = '' THEN 'none is set' ELSE format('%s waiting, the last copy was read back at %s', c.waiting, coalesce(c.last::text, 'no time yet')) END)).*
    FROM (SELECT count(*) FILTER (WHERE q.last_error IS NOT NULL AND NOT q.lost) AS failing, count(*) FILTER (WHERE q.lost) AS lost, count(*) FILTER (WHERE q.last_error IS NULL) AS waiting,
                 (array_agg(q.last_error ORDER BY q.due_at DESC) FILTER (WHERE q.last_error IS NOT NULL AND NOT q.lost))[1] AS why,
                 (SELECT max(o.stored_at) FROM image_gen_internal.stored_objects o) AS last
            FROM image_gen_internal.copy_queue q) c
    LEFT JOIN LATERAL (SELECT x.severity, x.problem, x.fix FROM (VALUES
      (1, store = '' AND c.failing + c.waiting > 0, 'warning', format('%s images wait for a copy, and image_gen.asset_store is not set', c.failing + c.waiting), 'Set image_gen.asset_store, and reload.'),
      (2, c.failing > 0, 'failure', format('%s images cannot be copied: %s', c.failing, c.why), 'Look at the address in image_gen.asset_store, its keys in image_gen.secrets_file and image_gen.allowed_provider_hosts; each is tried again by itself.'),
      (3, c.lost > 0, 'warning', format('%s images were lost: their URL ended before there was a copy', c.lost), 'image_gen.expiring_assets lists them; promote() or regenerate() makes one again.')) AS x(rank, applies, severity, problem, fix)
      WHERE x.applies ORDER BY x.rank LIMIT 1) v ON true;
  RETURN QUERY
  SELECT (image_gen_internal.finding('expiring images', 'warning', CASE WHEN count(*) > 0 THEN format('%s images are nowhere but at a URL that ends within a day, the next at %s', count(*), min(e.url_expires_at)) END,
           'Set image_gen.asset_store and SELECT image_gen.copy_assets(), or image_gen.keep_bytes = all for new ones.', 'none')).*
    FROM image_gen.expiring_assets e WHERE e.url_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 day' AND (store = '' OR e.state <> 'waiting');
  RETURN QUERY
  SELECT (image_gen_internal.finding('webhook ' || w.id, v.severity, v.problem, v.fix, format('%s waiting', d.pending))).*
    FROM image_gen.webhooks w
   CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE t.status = 'pending') AS pending, count(*) FILTER (WHERE t.status = 'failed') AS failed,
                              min(t.created_at) FILTER (WHERE t.status = 'pending' AND t.tries > 0) AS oldest, (array_agg(t.last_error ORDER BY t.due_at DESC) FILTER (WHERE t.last_error IS NOT NULL))[1] AS why
                         FROM image_gen.webhook_deliveries t WHERE t.webhook = w.id AND t.status <> 'delivered') d
    LEFT JOIN LATERAL (SELECT x.severity, x.problem, x.fix FROM (VALUES
      (1, image_gen_internal.webhook_problem(w.url) IS NOT NULL, 'failure', image_gen_internal.webhook_problem(w.url), 'Give an https URL of a public host, or name its host:port in image_gen.allowed_webhook_hosts, and reload.'),
      (2, image_gen_internal.missing_keys(ARRAY[w.key_name]) <> '{}', 'failure', format('there is no secret %s to sign with', w.key_name), format('Put the line %s=whsec_... into image_gen.secrets_file and SELECT pg_reload_conf().', w.key_name)),
      (3, d.failed > 0, 'warning', format('%s messages were given up: %s', d.failed, d.why), format('SELECT image_gen.redrive(webhook => %s) sends them again.', w.id)),
      (4, d.oldest < clock_timestamp() - interval '1 hour', 'warning', format('%s messages wait, the oldest since %s: %s', d.pending, d.oldest, d.why), 'Look at the receiver; they are sent again by themselves for a day.')) AS x(rank, applies, severity, problem, fix)
      WHERE x.applies ORDER BY x.rank LIMIT 1) v ON true
   WHERE w.enabled ORDER BY w.id;
  RETURN QUERY
  SELECT (image_gen_internal.finding('callback ' || h.function, v.severity, v.problem, v.fix, format('called %s times', h.runs))).*
    FROM image_gen.finish_hooks h
   CROSS JOIN LATERAL (SELECT count(*) AS failed FROM image_gen_internal.callback_queue q WHERE q.hook = h.id AND q.failed) c
    LEFT JOIN pg_proc p ON p.oid = to_regprocedure(h.function)
    LEFT JOIN LATERAL (SELECT x.severity, x.problem, x.fix FROM (VALUES
      (1, p.oid IS NULL, 'failure', 'there is no such function', format('Create it again, or SELECT image_gen.drop_on_finish(%s).', h.id)),
      (2, p.proowner <> h.owner::oid, 'failure', format('it belongs to %s now, and was registered as one of %s', image_gen_internal.role_name(p.proowner), image_gen_internal.role_name(h.owner)), 'Register it again with on_finish().'),
      (3, c.failed > 0, 'warning', format('%s calls were given up: %s', c.failed, h.last_error), format('SELECT image_gen.retry_callbacks(%s) makes them again.', h.id))) AS x(rank, applies, severity, problem, fix)
      WHERE x.applies ORDER BY x.rank LIMIT 1) v ON true
   WHERE h.attachment IS NULL ORDER BY h.id;
  RETURN QUERY
  SELECT (image_gen_internal.finding('attached table ' || a.relation, 'failure', a.problem, format('Put it back, or SELECT image_gen.detach(%s).', a.id), a.state)).*
    FROM image_gen.attachments a ORDER BY a.id;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_work(boolean) IS 'The lines of doctor() about work that waits for a person or cannot go on. thorough: the books are proved as well.';

SET LOCAL search_path = image_gen, pg_temp;
