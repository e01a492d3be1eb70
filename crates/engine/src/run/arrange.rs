//! The first part of a job: the images that go in are fetched and made fit, prerequisites are run, and the intent to send is
//! written down.

use std::time::Duration;

use rust_decimal::Decimal;

use super::{Event, Run, State, Step, Transition};
use crate::canvas;
use crate::failure::{Failure, excerpt};
use crate::http::{HttpRequest, HttpResponse, TransportError};
use crate::input::{Input, MAX_INPUT_BYTES, MAX_INPUTS_BYTES, Role};
use crate::job::{Invalid, Task, Warning};
use crate::provider::{Charge, Rejection};
use crate::size::Size;

/// How often an image is fetched in all.
const FETCH_TRIES: u32 = 3;

impl Run {
    /// Fetches the image of this index, or goes on when there is none.
    pub(super) fn gather(&mut self, index: usize, now: i64) -> Step {
        match self.job.pictures.get(index) {
            Some((role, _)) if self.passes_over(*role) => {
                // It is still said that it is not used.
                self.inputs.set(*role, Input::stand_in());
                self.gather(index + 1, now)
            }
            Some(_) => self.fetch(index, 1),
            None if index == 0 => self.prerequisite_or_begin(now),
            None => {
                self.state = State::Gathered;
                Step::Compute
            }
        }
    }

    /// Whether the candidate does without an image that the caller gave: whether it can be had is beside the point.
    fn passes_over(&self, role: Role) -> bool {
        matches!(role, Role::ReferenceImage | Role::Reference(_))
            && !self.candidate.takes(role, self.task, &self.job.request)
    }

    fn fetch(&mut self, index: usize, tries: u32) -> Step {
        let place = self.job.pictures.get(index).map(|(_, place)| place.clone()).unwrap_or_default();
        self.state = State::Gathering(index, tries);
        match (place.stored, place.url) {
            (Some(sha256), _) => Step::Load { sha256 },
            (None, Some(url)) => {
                self.send(HttpRequest { max_bytes: MAX_INPUT_BYTES, ..HttpRequest::picture(url) })
            }
            (None, None) => self.no_input(index, "it is not there any more"),
        }
    }

    pub(super) fn gathered(&mut self, index: usize, tries: u32, event: Event) -> Step {
        let bytes = match event {
            Event::Elapsed => return self.fetch(index, tries + 1),
            Event::Loaded(Some(bytes)) => bytes,
            Event::Loaded(None) => {
                // The bytes have gone; the URL may still work.
                match self.job.pictures.get_mut(index) {
                    Some((_, place)) if place.url.is_some() => {
                        place.stored = None;
                        return self.fetch(index, tries);
                    }
                    _ => return self.no_input(index, "its bytes are not kept any more"),
                }
            }
            Event::Answer(Ok(response)) if response.is_success() => response.body,
            Event::Answer(answer) => {
                let (why, passing) = match answer {
                    Ok(response) => (format!("HTTP {}", response.status), response.status >= 500),
                    Err(TransportError::NotSent(why) | TransportError::MaybeSent(why)) => (why, true),
                    Err(TransportError::Forbidden(why)) => (why, false),
                    Err(TransportError::TooLarge) => {
                        (format!("it is larger than {} MB", MAX_INPUT_BYTES >> 20), false)
                    }
                };
                if passing && tries < FETCH_TRIES {
                    self.state = State::Gathering(index, tries);
                    return Step::Wait(Duration::from_millis(250 << tries));
                }
                return self.no_input(index, &why);
            }
            other => {
                debug_assert!(false, "{other:?} while gathering");
                return Step::Stop;
            }
        };
        // To decode it takes milliseconds, and more where its sender wants that.
        self.state = State::Looking(index, bytes);
        Step::Compute
    }

    pub(super) fn look_at_input(&mut self, index: usize, bytes: Vec<u8>, now: i64) -> Step {
        let Some(&(role, _)) = self.job.pictures.get(index) else { return Step::Stop };
        match Input::read(bytes) {
            Ok(input) => {
                self.inputs.set(role, input);
                if self.inputs.bytes() > MAX_INPUTS_BYTES {
                    let most = MAX_INPUTS_BYTES >> 20;
                    return self
                        .no_input(index, &format!("with it the images are larger than {most} MB together"));
                }
                self.gather(index + 1, now)
            }
            Err(flaw) => self.no_input(index, &flaw.to_string()),
        }
    }

    fn no_input(&mut self, index: usize, why: &str) -> Step {
        let role = self.job.pictures.get(index).map_or("picture", |(role, _)| role.name());
        self.close_unsent(Failure::Invalid, &format!("the {role} could not be read: {}", excerpt(why)))
    }

    /// Makes the images fit for the candidate.
    pub(super) fn arrange(&mut self, now: i64) -> Step {
        if let Err(invalid) = self.fit() {
            return self.unfit(&invalid);
        }
        self.input_pixels =
            Role::ALL.iter().filter_map(|role| self.inputs.get(*role)?.size).map(Size::pixels).collect();
        self.prerequisite_or_begin(now)
    }

    fn fit(&mut self) -> Result<(), Invalid> {
        let unreadable = |role: Role, why: String| {
            Invalid::new(format!("the {} cannot be used: {why}", role.name()), "Give a PNG, JPEG or WebP.")
        };
        for role in Role::ALL {
            if let Some(input) = self.inputs.get(role).cloned() {
                self.inputs.set(role, canvas::readable(input).map_err(|why| unreadable(role, why))?);
            }
        }
        let image = self.inputs.get(Role::Image).cloned();
        if let (Some(image), Some(mask)) = (&image, self.inputs.get(Role::Mask))
            && let Some(size) = image.size
        {
            let canonical = canvas::canonical_mask(mask, size).map_err(|why| unreadable(Role::Mask, why))?;
            if canonical.transparent {
                let message = "the mask has transparent pixels: those are edited, its colours say nothing";
                self.warnings.push(Warning::new("adjusted", message));
            }
            if canonical.resized {
                let message = format!("the mask was resized to the image's {size}");
                self.warnings.push(Warning::new("adjusted", message));
            }
            self.inputs.set(Role::Mask, canonical.mask);
        }
        let padded = self.task == Task::Inpaint && !self.job.request.borders.is_empty();
        if let (true, Some(image)) = (padded, &image) {
            let (canvas, mask) = canvas::padded(image, self.job.request.borders)
                .map_err(|why| unreadable(Role::Image, why))?;
            self.inputs.set(Role::Image, canvas);
            self.inputs.set(Role::Mask, mask);
        }
        Ok(())
    }

    /// Runs the next prerequisite; when there is none, decides to send, and writes that down before sending.
    pub(super) fn prerequisite_or_begin(&mut self, now: i64) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        if self.is_late(now) {
            return self.too_late();
        }
        let tag = self.tag();
        let prerequisite = match provider.prerequisite(&self.call(&tag)) {
            Ok(prerequisite) => prerequisite,
            Err(invalid) => return self.unfit(&invalid),
        };
        if let Some(prerequisite) = prerequisite {
            self.state = State::Prerequisite(prerequisite.name);
            return self.send(prerequisite.request);
        }
        match provider.prepare(&self.call(&tag)) {
            Err(invalid) => self.unfit(&invalid),
            Ok(prepared) => {
                self.warnings.extend(prepared.warnings.iter().cloned());
                let seed_honored = prepared.seed_honored;
                self.keep_prepared(prepared);
                let begin = self.begin_entry(seed_honored, self.expected(), self.expected_rest());
                self.state = State::Beginning;
                Step::Commit(vec![begin])
            }
        }
    }

    fn unfit(&mut self, invalid: &Invalid) -> Step {
        self.close_unsent(Failure::Invalid, &format!("{invalid}. {}", invalid.hint))
    }

    pub(super) fn prerequisite_answered(
        &mut self,
        name: &'static str,
        answer: Result<HttpResponse, TransportError>,
        now: i64,
    ) -> Step {
        let Some(provider) = self.provider() else { return Step::Stop };
        let result = match answer {
            Ok(response) => {
                self.last_status = Some(response.status);
                provider.read_prerequisite(name, &response)
            }
            // It costs nothing to ask again, whatever became of it.
            Err(TransportError::NotSent(why) | TransportError::MaybeSent(why)) => {
                Err(Rejection::free(Failure::Overloaded { after: None }, why))
            }
            Err(TransportError::Forbidden(why)) => Err(Rejection::free(Failure::NotSupported, why)),
            Err(TransportError::TooLarge) => {
                Err(Rejection::free(Failure::Overloaded { after: None }, "the answer is larger than allowed"))
            }
        };
        match result {
            Ok(found) => {
                self.last_status = None;
                self.found.insert(name.to_owned(), found);
                if self.inputs.is_empty() {
                    return self.prerequisite_or_begin(now);
                }
                self.state = State::Arranged;
                Step::Compute
            }
            Err(rejection) => {
                // It costs nothing and can be asked for again, whatever became of it.
                let rejection = match rejection.failed.failure {
                    Failure::Uncertain => {
                        Rejection::free(Failure::Overloaded { after: None }, rejection.failed.message)
                    }
                    _ => rejection,
                };
                // It counts as an attempt, so that it shows where the job got stuck.
                let begin = self.begin_entry(false, Some(Decimal::ZERO), Some(Decimal::ZERO));
                let free = Rejection { charge: Charge::Free, ..rejection };
                match self.rejected(free, None) {
                    Step::Commit(mut transitions) => {
                        transitions.insert(0, begin);
                        Step::Commit(transitions)
                    }
                    other => other,
                }
            }
        }
    }

    fn begin_entry(
        &mut self,
        seed_honored: bool,
        estimated_cost: Option<Decimal>,
        estimated_rest: Option<Decimal>,
    ) -> Transition {
        self.number += 1;
        self.tries += 1;
        Transition::Begin {
            number: self.number,
            provider: self.candidate.provider.clone(),
            model: self.candidate.model.clone(),
            key_name: self.pass.key_name.clone(),
            prompt: self.job.request.prompt.clone(),
            seed: self.job.request.seed,
            seed_honored,
            warnings: self.warnings.clone(),
            estimated_cost,
            estimated_rest,
            progress: self.plan.progress.clone(),
        }
    }

    pub(super) fn is_late(&self, now: i64) -> bool {
        self.job.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(super) fn too_late(&mut self) -> Step {
        self.close_unsent(Failure::DeadlineExceeded, "the deadline passed before the job was sent")
    }
}
