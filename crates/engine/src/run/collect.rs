//! The second half of a job: an answer says that the images are there, and they are taken in one by one.

use std::time::Duration;

use super::finish::Bill;
use super::{AttemptStatus, JobStatus, Picture, Run, State, Step, Transition};
use crate::content::{Action, Rule};
use crate::cost::Cost;
use crate::egress::Destination;
use crate::failure::{Failure, excerpt};
use crate::http::{HttpRequest, HttpResponse, TransportError, origin};
use crate::job::Warning;
use crate::picture::{self, Blank, Facts, Flaw, Study};
use crate::provider::{self, Output, Source};
use crate::size::Size;

/// How often an image is fetched in all.
const FETCH_TRIES: u32 = 4;
/// How many redirects of an image are followed.
const REDIRECTS: u32 = 3;

/// Images on their way in.
#[derive(Debug)]
pub(super) struct Collection {
    output: Output,
    /// What the provider said when it accepted the task.
    cost: Option<Cost>,
    /// From send to answer.
    waited: f64,
    done: Vec<Picture>,
    tries: u32,
    /// Where the next image is, after redirects, and how many those were.
    moved: Option<(String, u32)>,
    /// An image that was fetched, and waits to be looked at.
    fetched: Option<Vec<u8>>,
    /// Images that cannot be used, and were paid for.
    broken: u32,
}

impl Collection {
    pub(super) fn new(output: Output, cost: Option<Cost>, waited: f64) -> Self {
        Collection { output, cost, waited, done: vec![], tries: 0, moved: None, fetched: None, broken: 0 }
    }
}

impl Collection {
    /// Goes on without the next image. It stays on the bill.
    fn leave_out(&mut self) {
        let number = self.done.len();
        self.output.pictures.remove(number);
        if number < self.output.seeds.len() {
            self.output.seeds.remove(number);
        }
        self.broken += 1;
        (self.tries, self.moved) = (0, None);
    }
}

/// Where an image can be. What is shown to people and put into their pages is nothing else, and no book.
fn is_web(url: &str) -> bool {
    const LONGEST: usize = 16 * 1024;
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    // People's programs may read the host of one with a backslash otherwise.
    let plain = !url.contains(|c: char| c == '\\' || c.is_control());
    plain && url.len() <= LONGEST && ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

impl Run {
    /// An image that the very server has which was called: what opens that for calls opens it for this.
    fn is_at_provider(&self, url: &str) -> bool {
        let base = self.provider().and_then(|p| origin(provider::base_url(p, &self.candidate)));
        base.is_some() && base == origin(url)
    }

    /// Takes the next image in, or closes the job when all are there.
    pub(super) fn collect(&mut self, mut collection: Collection) -> Step {
        while let Some(source) = collection.output.pictures.get(collection.done.len()) {
            match source {
                Source::Url { url, .. } if !is_web(url) => match self.absolute(url) {
                    Some(whole) => {
                        if let Some(Source::Url { url, .. }) =
                            collection.output.pictures.get_mut(collection.done.len())
                        {
                            *url = whole;
                        }
                    }
                    None => return self.refused(collection, "its address is not one of the web"),
                },
                Source::Url { url, .. } => {
                    let url = collection.moved.as_ref().map_or(url.as_str(), |(url, _)| url);
                    let mut request = HttpRequest::picture(url);
                    if self.is_at_provider(url) {
                        request.destination = Destination::Provider;
                    }
                    collection.tries += 1;
                    self.state = State::Collecting(Box::new(collection));
                    return self.send(request);
                }
                Source::Inline(_) => return self.look(collection),
            }
        }
        self.succeed(collection)
    }

    pub(super) fn fetched(
        &mut self,
        mut collection: Collection,
        answer: Result<HttpResponse, TransportError>,
    ) -> Step {
        match answer {
            Ok(response) if response.is_success() => {
                collection.fetched = Some(response.body);
                self.look(collection)
            }
            Ok(response) if (300..400).contains(&response.status) => {
                self.follow_redirect(collection, &response)
            }
            Ok(response) => self.fetch_again(collection, &format!("HTTP {}", response.status)),
            Err(TransportError::Forbidden(why)) => self.refused(collection, &why),
            Err(TransportError::NotSent(why) | TransportError::MaybeSent(why)) => {
                self.fetch_again(collection, &why)
            }
            Err(TransportError::TooLarge) => {
                collection.tries = FETCH_TRIES;
                self.fetch_again(collection, "it is larger than allowed")
            }
        }
    }

    /// An address that is written without its host, as seen from the provider.
    fn absolute(&self, url: &str) -> Option<String> {
        let base = provider::base_url(self.provider()?, &self.candidate);
        let relative = url.starts_with('/') || !url.split(['/', '?', '#']).next()?.contains(':');
        let whole = url::Url::parse(base).ok()?.join(url.trim()).ok()?.to_string();
        let sound = !url.trim().is_empty()
            && !url.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\u{fffd}');
        (relative && sound && is_web(&whole)).then_some(whole)
    }

    /// Fetches an image from where it has moved to: a request like the first, so that the same addresses are refused.
    fn follow_redirect(&mut self, mut collection: Collection, response: &HttpResponse) -> Step {
        let Some(Source::Url { url, .. }) = collection.output.pictures.get(collection.done.len()) else {
            return self.collect(collection);
        };
        let (from, hops) = collection.moved.take().unwrap_or_else(|| (url.clone(), 0));
        let target = response.header("location").and_then(|to| url::Url::parse(&from).ok()?.join(to).ok());
        match target.map(String::from) {
            Some(target) if hops < REDIRECTS && is_web(&target) => {
                collection.moved = Some((target, hops + 1));
                collection.tries = collection.tries.saturating_sub(1);
                self.collect(collection)
            }
            Some(target) if !is_web(&target) => self.refused(collection, "it leads away from the web"),
            _ => self.fetch_again(collection, &format!("HTTP {}", response.status)),
        }
    }

    /// Leaves out an image whose address must not be contacted from here, nor be given to those who show it. What was
    /// billed for an answer like this is not known.
    fn refused(&mut self, mut collection: Collection, why: &str) -> Step {
        let message = format!("the address of an image is refused: {}", excerpt(why));
        collection.leave_out();
        if !collection.output.pictures.is_empty() {
            self.warnings.push(Warning::new("refused_address", message));
            return self.collect(collection);
        }
        let bill = self.not_known();
        self.end(AttemptStatus::Failed, Failure::Broken.because(message), bill, JobStatus::NeedsReview)
    }

    /// Decodes the next image where that holds up no other job.
    fn look(&mut self, collection: Collection) -> Step {
        self.state = State::Collecting(Box::new(collection));
        Step::Compute
    }

    /// Looks at the image whose bytes are here.
    pub(super) fn inspect(&mut self, mut collection: Collection) -> Step {
        let number = collection.done.len();
        let fetched = collection.fetched.take();
        match (collection.output.pictures.get_mut(number), fetched) {
            (Some(Source::Url { url, lifetime }), Some(bytes)) => {
                let (url, lifetime) = (Some(url.clone()), *lifetime);
                match self.study(number, &bytes, false) {
                    Ok(Study { facts, thumbnail }) => {
                        let (facts, bytes) = (Some(facts), Some(bytes));
                        let picture =
                            Picture { url, lifetime, facts, bytes, thumbnail, ..Picture::default() };
                        collection.done.push(picture);
                        (collection.tries, collection.moved) = (0, None);
                        self.collect(collection)
                    }
                    Err(flaw @ Flaw::TooLarge { .. }) => {
                        collection.tries = FETCH_TRIES;
                        self.fetch_again(collection, &flaw.to_string())
                    }
                    // A page that says "wait", or half a file: the next one may be whole.
                    Err(flaw) => self.fetch_again(collection, &flaw.to_string()),
                }
            }
            (Some(Source::Inline(bytes)), _) => {
                let bytes = std::mem::take(bytes);
                match self.study(number, &bytes, true) {
                    Ok(Study { facts, thumbnail }) => {
                        let (facts, bytes) = (Some(facts), Some(bytes));
                        let picture = Picture { facts, bytes, thumbnail, inline: true, ..Picture::default() };
                        collection.done.push(picture);
                    }
                    Err(flaw) => {
                        // There is no address to fetch it from again. The others are whole.
                        collection.leave_out();
                        let message = format!("an image of the answer cannot be used: {flaw}");
                        self.warnings.push(Warning::new("broken_picture", message));
                        if collection.output.pictures.is_empty() {
                            return self.no_picture(collection, &flaw.to_string());
                        }
                    }
                }
                self.collect(collection)
            }
            _ => self.collect(collection),
        }
    }

    /// Looks at an image. One that cannot be decoded here is delivered with what can be said of it: it is paid for. One that is too
    /// large only where it is here and nowhere else.
    fn study(&mut self, number: usize, bytes: &[u8], only_here: bool) -> Result<Study, Flaw> {
        let study = match picture::study(bytes, self.terms.thumbnails) {
            Err(flaw @ Flaw::TooLarge { .. }) if only_here => {
                let message = format!("image {} was not looked at: {flaw}", number + 1);
                self.warnings.push(Warning::new("unverified", message));
                Facts::unmeasured(bytes).map(|facts| Study { facts, thumbnail: None }).ok_or(flaw)
            }
            Err(flaw @ Flaw::Foreign(_)) => {
                Facts::unmeasured(bytes).map(|facts| Study { facts, thumbnail: None }).ok_or(flaw)
            }
            study => study,
        }?;
        self.warn_of_format(number, &study.facts);
        self.warn_of_blank(number, &study.facts);
        Ok(study)
    }

    /// It is of another format than was asked for, or than can be looked at.
    fn warn_of_format(&mut self, number: usize, facts: &Facts) {
        if !self.terms.warn_of_formats {
            return;
        }
        let (number, found) = (number + 1, facts.content_type.as_str());
        let mut says = |message: String| self.warnings.push(Warning::new("unexpected_format", message));
        match self.asked_format {
            Some(asked) if asked != found => {
                says(format!("image {number} is {found}, and {asked} was asked for"))
            }
            _ => {}
        }
        if facts.width.is_none() && picture::is_foreign(found) {
            says(format!(
                "image {number} is {found}, which cannot be looked at here: its size is not known, and it has no small copy"
            ));
        }
        if facts.animated {
            says(format!("image {number} has several frames: the first one was looked at"));
        }
    }

    /// It is delivered, and paid for. Some filters answer with such a one in the place of an image.
    fn warn_of_blank(&mut self, number: usize, facts: &Facts) {
        let looks = match facts.blank {
            Some(Blank::Black) => "is black throughout: a filter of the provider may have put it there",
            Some(Blank::Empty) => "has one color throughout",
            None => return,
        };
        self.warnings.push(Warning::new("blank_picture", format!("image {} {looks}", number + 1)));
    }

    /// Fetches the image again, within bounds. In the end its address is delivered as it is: it is paid for, and only this
    /// server could not look at it.
    fn fetch_again(&mut self, mut collection: Collection, why: &str) -> Step {
        if collection.tries < FETCH_TRIES {
            let pause = Duration::from_millis(250 << collection.tries);
            self.state = State::Collecting(Box::new(collection));
            return Step::Wait(pause);
        }
        if let Some(Source::Url { url, lifetime }) = collection.output.pictures.get(collection.done.len()) {
            let message = format!("the image could not be fetched: {}", excerpt(why));
            self.warnings.push(Warning::new("unverified", message));
            let (url, lifetime) = (Some(url.clone()), *lifetime);
            collection.done.push(Picture { url, lifetime, ..Picture::default() });
        }
        (collection.tries, collection.moved) = (0, None);
        self.collect(collection)
    }

    fn no_picture(&mut self, collection: Collection, why: &str) -> Step {
        let bill = self.settle(&collection);
        let failed = Failure::Broken.because(format!("what came back is not an image: {why}"));
        self.end(AttemptStatus::Failed, failed, bill, JobStatus::Failed)
    }

    /// What a finished call cost: the answer's word, then the acceptance's, then the price table. By the size that was asked
    /// for, where the request names one; else by that of the image.
    fn settle(&self, collection: &Collection) -> Bill {
        let output = &collection.output;
        let asked = self.prepared.as_ref().filter(|p| p.sized).and_then(|p| p.size).map(Size::pixels);
        let pixels = asked.or_else(|| collection.done.iter().find_map(|p| p.facts.as_ref()?.pixels()));
        let told = output.cost.clone().or_else(|| collection.cost.clone());
        let images = output.pictures.len() as u32 + output.withheld + collection.broken;
        match told {
            Some(told) => told.into(),
            None => self.price(images, pixels, output.tokens, output.render_seconds),
        }
    }

    fn succeed(&mut self, mut collection: Collection) -> Step {
        let Collection { output, done, .. } = &mut collection;
        done.iter_mut().zip(&output.seeds).for_each(|(picture, seed)| picture.seed = Some(*seed));
        let first = self.plan.progress.delivered + 1;
        (first..).zip(done.iter_mut()).for_each(|(position, picture)| picture.position = position);
        let made = output.pictures.len() as u32 + output.withheld + collection.broken;
        let bill = self.settle(&collection);
        if collection.output.withheld > 0 {
            let message = format!("the provider withheld {} of the images", collection.output.withheld);
            self.warnings.push(Warning::new("withheld", message));
        }
        // Of the words that were sent, by the rules of now: whatever became of those that a caller was told of.
        let rules = self.plan.content.apply(&self.job.request.prompt).into_iter();
        self.warnings.extend(rules.filter(|rule| rule.action == Action::Approve).map(Rule::warning));
        let end = Transition::End {
            number: self.number,
            status: AttemptStatus::Succeeded,
            failed: None,
            http_status: self.last_status,
            cost: self.booked(bill.cost),
            usage: bill.usage,
            tokens: collection.output.tokens,
            render_seconds: Some(collection.output.render_seconds.unwrap_or(collection.waited)),
            seed: collection.output.seed,
            warnings: std::mem::take(&mut self.warnings),
            unsent: false,
            joins: None,
        };
        let pictures = collection.done;
        self.state = State::Closing;
        let asked = if self.asks_again() { made } else { self.asked().n.max(made) };
        if asked >= self.job.request.n {
            let close = Transition::Close { status: JobStatus::Succeeded, failed: None, pictures };
            return Step::Commit(vec![end, close]);
        }
        // The rest is another call, with a fresh look at all, and at the same candidate where it can be.
        let mut progress = self.plan.progress.clone();
        let name = self.candidate.name();
        (progress.asked, progress.delivered) =
            (progress.asked + asked, progress.delivered + pictures.len() as u32);
        progress.outages.remove(&name);
        progress.waits = 0;
        progress.chosen = Some(name);
        Step::Commit(vec![end, Transition::Later { after: Duration::ZERO, progress, pictures }])
    }
}
