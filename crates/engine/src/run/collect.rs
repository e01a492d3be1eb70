//! The second half of a job: an answer says that the pictures are there, and they are taken in one by one.

use std::time::Duration;

use super::finish::Bill;
use super::{AttemptStatus, Entry, JobStatus, Picture, Run, State, Step};
use crate::cost::Cost;
use crate::egress::Destination;
use crate::failure::{Failure, excerpt};
use crate::http::{HttpRequest, HttpResponse, TransportError, origin};
use crate::job::Warning;
use crate::picture;
use crate::provider::{self, Output, Source};
use crate::size::Size;

/// How often a picture is fetched in all.
const FETCH_TRIES: u32 = 4;

/// Pictures on their way in.
#[derive(Debug)]
pub(super) struct Collection {
    output: Output,
    /// What the provider said when it accepted the task.
    cost: Option<Cost>,
    /// From send to answer.
    waited: f64,
    done: Vec<Picture>,
    tries: u32,
}

impl Collection {
    pub(super) fn new(output: Output, cost: Option<Cost>, waited: f64) -> Self {
        Collection { output, cost, waited, done: vec![], tries: 0 }
    }
}

/// Where a picture can be. What is shown to people and put into their pages is nothing else, and no book.
fn is_web(url: &str) -> bool {
    const LONGEST: usize = 16 * 1024;
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    url.len() <= LONGEST && ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

impl Run {
    /// A picture that the very server has which was called: what opens that for calls opens it for this.
    fn is_at_provider(&self, url: &str) -> bool {
        let base = self.provider().and_then(|p| origin(provider::base_url(p, &self.candidate)));
        base.is_some() && base == origin(url)
    }

    /// Takes the next picture in, or closes the job when all are there.
    pub(super) fn collect(&mut self, mut collection: Collection) -> Step {
        while let Some(source) = collection.output.pictures.get(collection.done.len()) {
            match source {
                Source::Url { url, .. } if !is_web(url) => return self.no_picture(collection),
                Source::Url { url, .. } => {
                    let mut request = HttpRequest::picture(url);
                    if self.is_at_provider(url) {
                        request.destination = Destination::Provider;
                    }
                    collection.tries += 1;
                    self.state = State::Collecting(Box::new(collection));
                    return self.send(request);
                }
                Source::Inline(bytes) => match picture::inspect(bytes) {
                    Some(facts) => {
                        let bytes = Some(bytes.clone());
                        collection.done.push(Picture {
                            url: None,
                            lifetime: None,
                            facts: Some(facts),
                            bytes,
                            inline: true,
                            seed: None,
                        });
                    }
                    None => return self.no_picture(collection),
                },
            }
        }
        self.succeed(collection)
    }

    pub(super) fn fetched(
        &mut self,
        mut collection: Collection,
        answer: Result<HttpResponse, TransportError>,
    ) -> Step {
        let Some(Source::Url { url, lifetime }) = collection.output.pictures.get(collection.done.len())
        else {
            return Step::Stop;
        };
        let (url, lifetime) = (Some(url.clone()), *lifetime);
        match answer {
            Ok(response) if response.is_success() => match picture::inspect(&response.body) {
                Some(facts) => {
                    let bytes = Some(response.body);
                    collection.done.push(Picture {
                        url,
                        lifetime,
                        facts: Some(facts),
                        bytes,
                        inline: false,
                        seed: None,
                    });
                    collection.tries = 0;
                    self.collect(collection)
                }
                None => self.no_picture(collection),
            },
            _ if collection.tries < FETCH_TRIES => {
                let pause = Duration::from_millis(250 << collection.tries);
                self.state = State::Collecting(Box::new(collection));
                Step::Wait(pause)
            }
            failed => {
                // The picture exists and is paid for; only this server could not look at it.
                let why = match failed {
                    Ok(response) => format!("HTTP {}", response.status),
                    Err(
                        TransportError::NotSent(why)
                        | TransportError::MaybeSent(why)
                        | TransportError::Forbidden(why),
                    ) => why,
                    Err(TransportError::TooLarge) => "it is larger than allowed".into(),
                };
                let message = format!("the picture could not be fetched: {}", excerpt(&why));
                self.warnings.push(Warning::new("unverified", message));
                collection.done.push(Picture {
                    url,
                    lifetime,
                    facts: None,
                    bytes: None,
                    inline: false,
                    seed: None,
                });
                collection.tries = 0;
                self.collect(collection)
            }
        }
    }

    fn no_picture(&mut self, collection: Collection) -> Step {
        let bill = self.settle(&collection);
        let failed = Failure::Broken.because("what came back is not a picture");
        self.end(AttemptStatus::Failed, failed, bill, JobStatus::Failed)
    }

    /// What a finished call cost: the answer's word, then the acceptance's, then the price table. By the size that was asked
    /// for, where the request names one; else by that of the picture.
    fn settle(&self, collection: &Collection) -> Bill {
        let output = &collection.output;
        let asked = self.prepared.as_ref().filter(|p| p.sized).and_then(|p| p.size);
        let made = collection.done.iter().find_map(|p| p.facts.as_ref());
        let made = made.map(|facts| Size { width: facts.width, height: facts.height });
        let pixels = asked.or(made).map(Size::pixels);
        let told = output.cost.clone().or_else(|| collection.cost.clone());
        let images = output.pictures.len() as u32 + output.withheld;
        match told {
            Some(told) => told.into(),
            None => self.price(images, pixels, output.tokens, output.render_seconds),
        }
    }

    fn succeed(&mut self, mut collection: Collection) -> Step {
        let Collection { output, done, .. } = &mut collection;
        done.iter_mut().zip(&output.seeds).for_each(|(picture, seed)| picture.seed = Some(*seed));
        let bill = self.settle(&collection);
        if collection.output.withheld > 0 {
            let message = format!("the provider withheld {} of the pictures", collection.output.withheld);
            self.warnings.push(Warning::new("withheld", message));
        }
        let end = Entry::End {
            number: self.number,
            status: AttemptStatus::Succeeded,
            failed: None,
            http_status: self.last_status,
            cost: self.booked(bill.cost),
            work: bill.work,
            tokens: collection.output.tokens,
            render_seconds: Some(collection.output.render_seconds.unwrap_or(collection.waited)),
            seed: collection.output.seed,
            warnings: std::mem::take(&mut self.warnings),
            unsent: false,
            joins: None,
        };
        let close = Entry::Close { status: JobStatus::Succeeded, failed: None, pictures: collection.done };
        self.state = State::Closing;
        Step::Commit(vec![end, close])
    }
}
