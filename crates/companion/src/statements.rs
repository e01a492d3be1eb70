//! The SQL of each tool: one statement, whose only parameter is the arguments as JSON, and whose only value is the answer as JSON. What a
//! caller wrote is never a part of a statement.

/// How the status of a job is told: a client that asks until it is succeeded or failed comes to an end.
macro_rules! told {
    ($status:literal) => {
        concat!(
            "CASE WHEN ",
            $status,
            " IN ('canceled', 'needs_review') THEN 'failed' ELSE ",
            $status,
            " END"
        )
    };
}

/// A receipt as `generate_image` tells it.
macro_rules! receipt {
    () => {
        concat!(
            "jsonb_build_object('id', r.id, 'status', ",
            told!("r.status"),
            ", 'model', r.model, 'estimated_seconds', trim_scale(r.estimated_seconds), \
             'created_at', to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))"
        )
    };
}

/// The arguments that the operations share.
macro_rules! shared {
    () => {
        "prompt => $1 ->> 'prompt', model => $1 ->> 'model', metadata => nullif($1 -> 'metadata', 'null'), \
         idempotency_key => $1 ->> 'idempotency_key', max_cost => ($1 ->> 'max_cost')::numeric"
    };
}

/// Where a job that was queued stands.
macro_rules! standing {
    () => {
        concat!(
            "jsonb_build_object('id', s.id, 'status', ",
            told!("s.status"),
            ", 'billed_cost', trim_scale(s.billed_cost))"
        )
    };
}

/// The statement of a tool.
pub fn of_tool(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "generate_image" => "SELECT image_gen.generate_image($1::jsonb)",
        "get_generation" => "SELECT image_gen.get_generation($1::jsonb ->> 'id')",
        "list_recent_generations" => {
            "SELECT image_gen.list_recent_generations(coalesce(($1::jsonb ->> 'limit')::integer, 10), nullif($1 -> 'filters', 'null'), $1 ->> 'before')"
        }
        "get_credits" => "SELECT image_gen.get_credits() FROM (SELECT $1::jsonb) AS nothing",
        "edit_image" => concat!(
            "SELECT ",
            receipt!(),
            " FROM (SELECT $1::jsonb) AS a CROSS JOIN LATERAL image_gen.edit(image => $1 ->> 'image', mask => $1 ->> 'mask', mode => $1 ->> 'mode', \
             strength => ($1 ->> 'strength')::float8, border_top => ($1 ->> 'border_top')::integer, border_right => ($1 ->> 'border_right')::integer, \
             border_bottom => ($1 ->> 'border_bottom')::integer, border_left => ($1 ->> 'border_left')::integer, \
             negative_prompt => $1 ->> 'negative_prompt', seed => ($1 ->> 'seed')::bigint, n => ($1 ->> 'n')::integer, \
             reference_images => CASE WHEN jsonb_typeof($1 -> 'reference_images') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text($1 -> 'reference_images')) END, ",
            shared!(),
            ") AS r"
        ),
        "upscale_image" => concat!(
            "SELECT ",
            receipt!(),
            " FROM (SELECT $1::jsonb) AS a CROSS JOIN LATERAL image_gen.upscale(image => $1 ->> 'image', scale => coalesce(($1 ->> 'scale')::integer, 2), ",
            shared!(),
            ") AS r"
        ),
        "vary_image" => concat!(
            "SELECT jsonb_build_object('generations', jsonb_agg(",
            receipt!(),
            ")) FROM (SELECT $1::jsonb) AS a CROSS JOIN LATERAL image_gen.variate(image => $1 ->> 'image', n => coalesce(($1 ->> 'n')::integer, 3), \
             variance => ($1 ->> 'variance')::float8, seed => ($1 ->> 'seed')::bigint, ",
            shared!(),
            ") AS r"
        ),
        "transfer_style" => concat!(
            "SELECT ",
            receipt!(),
            " FROM (SELECT $1::jsonb) AS a CROSS JOIN LATERAL image_gen.transfer_style(image => $1 ->> 'image', style_image => $1 ->> 'style_image', \
             strength => ($1 ->> 'strength')::float8, seed => ($1 ->> 'seed')::bigint, ",
            shared!(),
            ") AS r"
        ),
        "estimate" => {
            "SELECT jsonb_build_object('model', e.model, 'provider', e.provider, 'jobs', e.jobs, 'images', e.images, 'estimated_cost', e.estimated_cost, \
             'with_buffer', e.with_buffer, 'highest_cost', e.highest_cost, 'currency', e.currency, 'estimated_seconds', trim_scale(e.estimated_seconds), \
             'warnings', e.warnings, 'needs_confirmation', c.needs_confirmation, 'within_budget', c.within_budget) \
             FROM (SELECT $1::jsonb) AS a \
             CROSS JOIN LATERAL image_gen.estimate(coalesce($1 ->> 'operation', 'generate'), $1 -> 'arguments') AS e \
             CROSS JOIN LATERAL image_gen.spending_consent(coalesce($1 ->> 'operation', 'generate'), $1 -> 'arguments') AS c"
        }
        "cancel_generation" => {
            concat!("SELECT ", standing!(), " FROM image_gen.cancel($1::jsonb ->> 'id') AS s")
        }
        "choose_model" => {
            "SELECT to_jsonb(c) FROM (SELECT $1::jsonb) AS a CROSS JOIN LATERAL image_gen.choose_model(needs_text => ($1 ->> 'needs_text')::boolean, \
             photoreal => ($1 ->> 'photoreal')::boolean, draft => ($1 ->> 'draft')::boolean, stylized => ($1 ->> 'stylized')::boolean, \
             editing => ($1 ->> 'editing')::boolean, priority => $1 ->> 'priority') AS c"
        }
        // What is pending is asked about later: nothing waits inside of the database.
        "settle" => {
            "WITH given AS MATERIALIZED (SELECT ARRAY(SELECT jsonb_array_elements_text($1::jsonb -> 'ids')) AS ids) \
             SELECT jsonb_build_object('pending', '[]'::jsonb) || image_gen.settle(g.ids, '0 s') || jsonb_build_object('next_poll_ms', \
             (SELECT min((image_gen.get_generation(s.id) ->> 'next_poll_ms')::integer) FROM image_gen.status(g.ids) s WHERE s.status IN ('queued', 'running'))) FROM given g"
        }
        "list_reviews" => {
            "WITH q AS MATERIALIZED (SELECT r.*, row_number() OVER (ORDER BY r.waiting_since, r.id) AS place FROM image_gen.review_queue r) \
             SELECT jsonb_build_object('reviews', coalesce(jsonb_agg(jsonb_build_object('id', q.id, 'why', q.why, 'message', q.error_message, 'campaign', q.campaign, \
             'shot', q.shot, 'prompt', q.prompt, 'prompts_tried', coalesce(to_jsonb(q.prompts_tried), '[]'), 'model', q.model, 'spent', trim_scale(q.spent), \
             'waiting_since', to_char(q.waiting_since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) ORDER BY q.place) \
             FILTER (WHERE q.place <= coalesce(($1::jsonb ->> 'limit')::integer, 10)), '[]'), 'more', greatest(count(*) - coalesce(($1 ->> 'limit')::integer, 10), 0)) FROM q"
        }
        "resolve_review" => concat!(
            "SELECT ",
            standing!(),
            " FROM (SELECT $1::jsonb) AS a CROSS JOIN LATERAL image_gen.resolve_review(id => $1 ->> 'id', action => $1 ->> 'action', prompt => $1 ->> 'prompt', \
             model => $1 ->> 'model', url => $1 ->> 'url', note => $1 ->> 'note') AS s"
        ),
        _ => return None,
    })
}

/// What the SQL functions of the tools that spend call themselves.
pub fn operation(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "generate_image" => "generate",
        "edit_image" => "edit",
        "upscale_image" => "upscale",
        "vary_image" => "variate",
        "transfer_style" => "transfer_style",
        _ => return None,
    })
}

/// What is asked before a call that spends: by operation and arguments, or by the job that is made once more.
pub const CONSENT: &str = "SELECT to_jsonb(c) FROM image_gen.spending_consent($1, $2) AS c";
/// The same for a job that is made once more.
pub const CONSENT_AGAIN: &str = "SELECT to_jsonb(c) FROM image_gen.spending_consent($1) AS c";

/// The images of some jobs, in their order.
pub const ASSETS: &str = "SELECT jsonb_build_object('id', a.id, 'shot', a.shot, 'job_id', a.job_id, 'url', coalesce(a.mirror_url, a.url), 'content_type', a.content_type, \
     'width', a.width, 'height', a.height, 'byte_size', a.byte_size, 'kept', a.url LIKE 'image-gen:%') \
     FROM image_gen.campaign_assets a WHERE a.job_id = ANY ($1::text[]) ORDER BY array_position($1, a.job_id::text), a.position LIMIT 20";
/// One image by its number.
pub const ASSET: &str = "SELECT jsonb_build_object('id', a.id, 'shot', a.shot, 'job_id', a.job_id, 'url', coalesce(a.mirror_url, a.url), 'content_type', a.content_type, \
     'width', a.width, 'height', a.height, 'byte_size', a.byte_size, 'kept', a.url LIKE 'image-gen:%') FROM image_gen.campaign_assets a WHERE a.id = $1";
/// The newest images.
pub const NEWEST_ASSETS: &str = "SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'shot', a.shot, 'campaign', a.campaign, 'content_type', a.content_type, 'byte_size', a.byte_size) ORDER BY a.id DESC), '[]') \
     FROM (SELECT n.* FROM image_gen.campaign_assets n ORDER BY n.id DESC LIMIT 50) a";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use image_gen_tools::{Effect, agent_tools};

    #[test]
    fn every_tool_has_its_statement_and_those_that_spend_their_operation() {
        for tool in agent_tools() {
            let sql = super::of_tool(tool.name).expect(tool.name);
            assert!(sql.contains("$1"), "{}: the arguments are its parameter", tool.name);
            assert_eq!(super::operation(tool.name).is_some(), tool.effect == Effect::Spends, "{}", tool.name);
        }
        assert_eq!(super::of_tool("drop_table"), None);
    }
}
