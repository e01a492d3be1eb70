//! Black Forest Labs: submit, then poll exactly the URL that the answer names.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ErrorAnswer, usual_shape, without_result, without_task};
use super::request_builder::{Encoding, RequestBuilder};
use super::{Balance, Call, Output, Prepared, Provider, Rejection, Remote, Reply, Source, balance, base_url};
use super::{decimal, seed_of, segment, task_id, text_at};
use crate::cost::Cost;
use crate::failure::Failure;
use crate::http::{Auth, HttpRequest, HttpResponse};
use crate::job::Invalid;

pub(super) struct Bfl;

const AUTH: Auth = Auth::header("x-key", "");
/// `result.sample` works for ten minutes (BFL documentation).
const SAMPLE_LIFETIME: Duration = Duration::from_secs(600);

impl Provider for Bfl {
    fn kind(&self) -> &'static str {
        "bfl"
    }

    fn catalogue(&self) -> &'static str {
        include_str!("bfl/catalogue.toml")
    }

    fn base_url(&self) -> &'static str {
        "https://api.bfl.ai"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("BFL_API_KEY")
    }

    fn own_domains(&self) -> &'static [&'static str] {
        &["bfl.ai"]
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Invalid> {
        let mut builder = RequestBuilder::new(call)?;
        builder.scalars()?.pictures(Encoding::Base64)?;
        builder.size()?;
        if builder.takes("borders") {
            let borders = builder.borders()?;
            for (side, pixels) in [
                ("top", borders.top),
                ("bottom", borders.bottom),
                ("left", borders.left),
                ("right", borders.right),
            ] {
                builder.set(side, json!(pixels));
            }
        }
        let url = format!("{}/v1/{}", base_url(self, call.candidate), call.candidate.remote_name);
        let http = HttpRequest::post(url, Some(AUTH), builder.json(), Duration::from_secs(60));
        Ok(builder.finish(http))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        if !response.is_success() {
            return Err(self.read_error(response));
        }
        let answer = response.json();
        let (Some(id), Some(poll_url)) = (task_id(&answer, "/id"), text_at(&answer, &["/polling_url"]))
        else {
            // A success that names no task: something was accepted, and it cannot be asked for.
            return Err(without_task(self, response, &answer));
        };
        let poll_url = with_id(poll_url, &segment(&id));
        // `cost` is in credits; one credit is 0.01 USD.
        let cost = answer.get("cost").and_then(decimal).map(|credits| Cost::reported(credits / HUNDRED));
        Ok(Reply::Accepted { remote: Remote::new(id, poll_url), cost })
    }

    fn poll(&self, remote: &Remote) -> HttpRequest {
        HttpRequest::get(&remote.poll_url, Some(AUTH))
    }

    fn read_poll(&self, _remote: &Remote, response: &HttpResponse) -> Result<Reply, Rejection> {
        let answer = response.json();
        // Some answers say `state`; "Task not found" also comes with a 404.
        let status = ["/status", "/state"].iter().find_map(|p| text_at(&answer, &[*p]));
        let ended = match status {
            Some("Ready") => return read_ready(&answer, || without_result(self, response, &answer)),
            // A moderated task is not charged (BFL help centre, 2026-06-12: only Ready consumes credits).
            Some("Request Moderated") => {
                Rejection::free(Failure::Refused, refusal("the request was moderated", &answer))
            }
            Some("Content Moderated") => {
                Rejection::free(Failure::Refused, refusal("the result was moderated", &answer))
            }
            Some("Error" | "Failed") => {
                let why =
                    text_at(&answer, &["/details/error", "/details", "/error"]).unwrap_or("no reason given");
                Rejection::free(Failure::Broken, format!("the render failed: {why}"))
            }
            Some("Task not found") => return Err(Rejection::unknown(Failure::NotFound, "task not found")),
            _ if !response.is_success() => return Err(self.read_error(response)),
            // `Pending`, and any state that did not exist when this was written: only an end is an end.
            Some(_) => return Ok(Reply::Pending { after: response.retry_after() }),
            None => return Err(Rejection::unknown(Failure::Garbled, "the answer has no status")),
        };
        // The task's own word, whatever the status of the answer.
        if response.is_success() { Err(ended) } else { Ok(Reply::Failed(ended)) }
    }

    fn balance(&self, base: &str) -> Option<HttpRequest> {
        Some(balance::ask(format!("{}/v1/credits", base.trim_end_matches('/')), AUTH))
    }

    fn read_balance(&self, response: &HttpResponse) -> Option<Balance> {
        let answer = response.is_success().then(|| response.json())?;
        Balance::cents(answer.get("credits")?)
    }

    fn speaks(&self, json: &Value) -> bool {
        usual_shape(json) || json.get("status").or(json.get("state")).is_some_and(Value::is_string)
    }

    /// Only what is ready consumes credits (BFL help centre, 2026-06-12).
    fn refuses_for_free(&self, _error: &ErrorAnswer<'_>) -> bool {
        true
    }
}

const HUNDRED: rust_decimal::Decimal = rust_decimal::Decimal::from_parts(100, 0, 0, false, 0);

/// The polling URL as it came; the id is added only where it is missing.
fn with_id(poll_url: &str, id: &str) -> String {
    let has_id = poll_url.split_once('?').is_some_and(|(_, q)| q.split('&').any(|p| p.starts_with("id=")));
    match (has_id, poll_url.contains('?')) {
        (true, _) => poll_url.to_owned(),
        (false, true) => format!("{poll_url}&id={id}"),
        (false, false) => format!("{poll_url}?id={id}"),
    }
}

fn read_ready(answer: &Value, missing: impl FnOnce() -> Rejection) -> Result<Reply, Rejection> {
    let Some(url) = text_at(answer, &["/result/sample"]) else {
        return Err(missing());
    };
    Ok(Reply::Finished(Output {
        pictures: vec![Source::Url { url: url.into(), lifetime: Some(SAMPLE_LIFETIME) }],
        seed: answer.pointer("/result/seed").and_then(seed_of),
        render_seconds: answer.pointer("/result/duration").and_then(Value::as_f64).filter(|s| *s > 0.0),
        ..Output::default()
    }))
}

fn refusal(what: &str, answer: &Value) -> String {
    let reasons: Vec<&str> = match answer.pointer("/details/Moderation Reasons") {
        Some(Value::Array(reasons)) => reasons.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    if reasons.is_empty() { what.to_owned() } else { format!("{what}: {}", reasons.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::super::Charge;
    use super::super::testing::*;
    use super::*;
    use crate::job::Task;

    #[test]
    fn flux_pro_takes_no_steps_guidance_or_negative_prompt_and_says_so() {
        let candidate = candidate("bfl", "flux-1.1-pro");
        let request = request(json!({
            "prompt": "headphones", "width": 1024, "height": 1024, "seed": 73104, "guidance": 3.5, "steps": 28,
            "negative_prompt": "text"
        }));
        let prepared = Bfl.prepare(&call(&request, &candidate)).unwrap();
        assert_eq!(http(&prepared).url, "https://api.bfl.ai/v1/flux-pro-1.1");
        let body = json!({"prompt": "headphones", "width": 1024, "height": 1024, "seed": 73104});
        assert_eq!(json_body(&prepared), body);
        assert_eq!(codes(&prepared), ["unsupported"; 3]);
        assert!(prepared.seed_honored);
    }

    #[test]
    fn each_task_has_its_own_fields() {
        use crate::input::Role;
        let fields = |task: Task, model: &str, asked: Value, roles: &[Role]| {
            let (candidate, inputs) = (candidate("bfl", model), inputs(roles));
            let mut all = json!({"prompt": "x", "seed": 1});
            all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
            let request = request(all);
            let prepared = Bfl.prepare(&call_with(task, &request, &candidate, &inputs)).unwrap();
            json_body(&prepared).as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
        };
        let image = &[Role::Image];
        assert_eq!(
            fields(Task::Img2img, "flux-2-pro", json!({}), image),
            "height input_image prompt seed width"
        );
        assert_eq!(
            fields(Task::TransferStyle, "flux-2-pro", json!({}), &[Role::Image, Role::StyleImage]),
            "height input_image input_image_2 prompt seed width"
        );
        assert_eq!(
            fields(Task::Inpaint, "flux-fill-pro", json!({"steps": 20}), &[Role::Image, Role::Mask]),
            "image mask prompt seed steps"
        );
        assert_eq!(
            fields(Task::Outpaint, "flux-1-expand-pro", json!({"borders": {"left": 8}}), image),
            "bottom image left prompt right seed top"
        );
        assert_eq!(
            fields(Task::Variate, "flux-1.1-pro-ultra", json!({"variance": 0.2}), image),
            "aspect_ratio image_prompt image_prompt_strength prompt seed"
        );
    }

    #[test]
    fn no_bill_goes_by_the_size_of_a_source_that_is_not_here() {
        use crate::input::{Input, Role};
        let candidate = candidate("bfl", "flux-2-pro");
        let request = request(json!({"prompt": "x", "seed": 1}));
        let sized = |inputs: &crate::input::Inputs| {
            Bfl.prepare(&call_with(Task::Img2img, &request, &candidate, inputs)).unwrap().sized
        };
        let mut planned = inputs(&[]);
        planned.set(Role::Image, Input::stand_in());
        assert!(sized(&inputs(&[Role::Image])) && !sized(&planned));
        // What is made from nothing has the size that is asked for.
        assert!(Bfl.prepare(&call(&request, &candidate)).unwrap().sized);
    }

    #[test]
    fn a_border_beyond_the_vendors_most_is_refused_before_it_is_sent() {
        use crate::input::Role;
        // BFL, Stability and fal document 2048, 2000 and 700 (of one endpoint) pixels.
        for (kind, model, most) in [
            ("bfl", "flux-1-expand-pro", 2048),
            ("stability", "stability-outpaint", 2000),
            ("fal", "flux-2-pro-outpaint", 2048),
            ("fal", "image-apps-outpaint", 700),
        ] {
            let (candidate, inputs) = (candidate(kind, model), inputs(&[Role::Image]));
            for side in ["left", "right", "top", "bottom"] {
                let prepare = |pixels: u32| {
                    let request = request(json!({"prompt": "x", "seed": 1, "borders": {side: pixels}}));
                    let call = call_with(Task::Outpaint, &request, &candidate, &inputs);
                    super::super::find(kind).unwrap().prepare(&call).map(drop)
                };
                assert_eq!(prepare(most), Ok(()), "{model}");
                let error = prepare(most + 1).unwrap_err();
                let said =
                    format!("border_{side} is {} pixels, {kind}:{model} adds at most {most}", most + 1);
                assert_eq!(error.message, said);
            }
        }
    }

    #[test]
    fn the_cost_of_the_submit_answer_is_exact() {
        let candidate = candidate("bfl", "flux-1.1-pro");
        let request = request(json!({"prompt": "x", "seed": 1}));
        let body =
            json!({"id": "T", "polling_url": "https://api.us1.bfl.ai/v1/get_result?id=T", "cost": 4.1});
        let reply = Bfl.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap();
        let Reply::Accepted { remote, cost } = reply else { panic!("{reply:?}") };
        assert_eq!(remote.poll_url, "https://api.us1.bfl.ai/v1/get_result?id=T");
        assert_eq!(cost.unwrap().amount.unwrap().to_string(), "0.041");
    }

    #[test]
    fn all_six_states_end_or_go_on_as_documented() {
        let task = Remote::new("T", "https://api.bfl.ai/v1/get_result?id=T");
        let read = |status: &str| {
            Bfl.read_poll(&task, &answer(200, json!({"id": "T", "status": status, "result": null})))
        };
        assert_eq!(read("Pending"), Ok(Reply::Pending { after: None }));
        assert_eq!(read("Queued in a new way"), Ok(Reply::Pending { after: None }));
        assert_eq!(read("Request Moderated").unwrap_err().failed.failure, Failure::Refused);
        assert_eq!(read("Content Moderated").unwrap_err().failed.failure, Failure::Refused);
        assert_eq!(read("Error").unwrap_err().failed.failure, Failure::Broken);
        assert_eq!(read("Failed").unwrap_err().failed.failure, Failure::Broken);
        assert_eq!(read("Task not found").unwrap_err().failed.failure, Failure::NotFound);
        assert_eq!(read("Ready").unwrap_err().failed.failure, Failure::Broken);
        let ready = json!({"state": "Ready", "result": {"sample": "https://cdn/x.jpg?sig=1", "seed": 7, "duration": 3.5}});
        let Ok(Reply::Finished(output)) = Bfl.read_poll(&task, &answer(200, ready)) else { panic!() };
        assert_eq!((output.seed, output.render_seconds), (Some(7), Some(3.5)));
    }

    #[test]
    fn an_error_answer_is_classified_by_its_status() {
        for (status, failure) in [
            (400, Failure::Invalid),
            (401, Failure::Unauthorized),
            (402, Failure::OutOfCredit),
            (403, Failure::Unauthorized),
            (422, Failure::Invalid),
            (429, Failure::RateLimited { after: None }),
            (500, Failure::Uncertain),
            (503, Failure::Overloaded { after: None }),
        ] {
            let body = json!({"detail": [{"loc": ["body", "width"], "msg": "too large", "type": "x"}]});
            let rejection = Bfl.read_error(&answer(status, body));
            assert_eq!(rejection.failed.failure, failure, "{status}");
            assert!(rejection.failed.message.ends_with("too large (width)"));
        }
    }

    #[test]
    fn a_success_without_a_task_is_never_sent_again() {
        let candidate = candidate("bfl", "flux-1.1-pro");
        let request = request(json!({"prompt": "x", "seed": 1}));
        for body in [json!({}), json!({"id": "T"}), json!("garbage"), Value::Null] {
            let rejection = Bfl.read_submit(&call(&request, &candidate), &answer(200, body)).unwrap_err();
            assert_eq!(rejection.failed.failure, Failure::Uncertain);
            assert_eq!(rejection.charge, Charge::Unknown);
        }
    }
}
