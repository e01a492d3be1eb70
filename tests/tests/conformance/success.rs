//! Every task of every provider succeeds.

use image_gen_tests::picture::{facts, sha256};

use crate::matrix::{Pictures, Round, offers, stage};

#[test]
fn scout() {
    let stage = stage();
    let offers = offers(&stage);
    let pictures = Pictures::new(90);
    let mut alice = stage.alice();
    for (name, prompt) in [("said", "a teapot"), ("unsaid", "")] {
        let round = Round::new(&stage, name, &offers);
        let t = std::time::Instant::now();
        let ids = round.queue(&mut alice, &offers, |o| pictures.call(o, &round.target(o), prompt));
        println!("queued {} in {:?}", ids.len(), t.elapsed());
        for (o, id) in offers.iter().zip(&ids) { if let Err(e) = id { println!("REFUSED {} {} {}: {e}", o.kind, o.task, o.model); } }
        let (offers, ids): (Vec<_>, Vec<_>) = offers.iter().zip(&ids).filter_map(|(o, id)| Some((o.clone(), id.clone().ok()?))).unzip();
        let jobs = alice.all_done(&ids);
        println!("done in {:?}", t.elapsed());
        for ((offer, id), job) in offers.iter().zip(&ids).zip(&jobs) {
            let submits = round.submits(offer);
            let asset = alice.rows(&format!("SELECT a.id, a.width, a.height, a.content_type, a.seed, a.cost_source, t.seed_honored, t.warnings, t.seed FROM image_gen.campaign_assets a JOIN image_gen.attempts t USING (job_id) WHERE job_id = '{id}'"));
            let bytes: Option<Vec<u8>> = asset.first().and_then(|a| {
                alice.query_one("SELECT image_gen.picture($1::text::bigint)", &[&a[0]]).unwrap().get(0)
            });
            println!(
                "{} {} {}: {} {} {} | {} {} | {:?} | {:?} {:?}",
                offer.kind,
                offer.task,
                offer.model,
                job.status,
                job.error_code,
                job.error_message,
                job.billed_cost,
                job.cost_source,
                asset,
                bytes.as_ref().map(|b| facts(b)),
                bytes.as_ref().map(|b| sha256(b).len())
            );
            for s in submits {
                println!(
                    "    {} model={} prompt={} seed={} billed={} outcome={} inputs={} body={}",
                    s["path"],
                    s["model"],
                    s["prompt"],
                    s["seed"],
                    s["billed"],
                    s["outcome"],
                    s["inputs"].as_array().map_or(0, Vec::len),
                    s["body"].to_string().chars().take(300).collect::<String>()
                );
            }
        }
    }
    stage.check_money();
}
