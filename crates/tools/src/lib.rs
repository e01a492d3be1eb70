//! The tools of an agent: what goes in, what comes out, and their JSON Schemas. Four of them are functions of the extension, from JSON to
//! JSON; the others are offered by the companion alone, and call the SQL functions of what they do.
//!
//! Schemas and checks come from the same types, so that what a schema allows is what is read. Nothing here knows PostgreSQL:
//! the extension's SQL functions of the same names, and programs that offer these tools by other ways, use it.
//!
//! | module | its one noun |
//! |---|---|
//! | [`input`] | the arguments of one of the four |
//! | [`output`] | the answer of one of the four |
//! | [`operations`] | the tools that change an image |
//! | [`decisions`] | what it costs, which model, waiting, canceling, reviews |
//! | [`read`] | JSON from outside as one of these types, or where in it the mistake is |
//! | [`poll`] | when to ask again |

pub use image_gen_engine::seed::MAX_SEED as MOST_SEED;

pub mod decisions;
pub mod input;
pub mod operations;
pub mod output;
pub mod poll;
pub mod read;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;

/// What calling a tool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It shows something.
    Reads,
    /// It queues calls that cost money.
    Spends,
    /// It ends a generation that is under way.
    Ends,
    /// It decides about a generation: that may end it, or have it made once more.
    Decides,
}

/// A tool, as it is offered to a model.
#[derive(Debug, Serialize)]
pub struct Tool {
    /// Its name, which is that of the SQL function.
    pub name: &'static str,
    /// What it does, for the model that chooses.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub input_schema: Schema,
    /// JSON Schema of its answer.
    pub output_schema: Schema,
    /// What calling it does.
    #[serde(skip)]
    pub effect: Effect,
}

/// Those that are SQL functions of the same names.
pub fn tools() -> [Tool; 4] {
    [
        tool::<input::GenerateImage, output::Queued>(
            "generate_image",
            Effect::Spends,
            "Queues a picture and returns at once with its id. Nothing is rendered before the transaction commits. \
             Ask for it with get_generation after estimated_seconds.",
        ),
        tool::<input::GetGeneration, output::Generation>(
            "get_generation",
            Effect::Reads,
            "How a queued picture stands, and its URL, seed and billed cost when it is there. While it is not, ask again \
             after next_poll_ms.",
        ),
        tool::<input::ListRecentGenerations, output::Generations>(
            "list_recent_generations",
            Effect::Reads,
            "The newest images, the newest first. For the next page pass next_before as before.",
        ),
        tool::<input::GetCredits, output::Credits>(
            "get_credits",
            Effect::Reads,
            "What may still be spent, in USD. Ask before a batch: a budget that ends in the middle of it is noticed before it.",
        ),
    ]
}

/// All that an agent is offered by the companion.
pub fn agent_tools() -> Vec<Tool> {
    use decisions as d;
    use operations as o;
    let others = [
        tool::<o::EditImage, output::Queued>(
            "edit_image",
            Effect::Spends,
            "Queues a change of an image: made anew from a prompt, within a mask, or beyond its borders. Spends money.",
        ),
        tool::<o::UpscaleImage, output::Queued>(
            "upscale_image",
            Effect::Spends,
            "Queues the same image, larger. Spends money.",
        ),
        tool::<o::VaryImage, o::Variations>(
            "vary_image",
            Effect::Spends,
            "Queues variations of an image. Spends money for each.",
        ),
        tool::<o::TransferStyle, output::Queued>(
            "transfer_style",
            Effect::Spends,
            "Queues an image in the style of another. Spends money.",
        ),
        tool::<d::Estimate, d::Estimated>(
            "estimate",
            Effect::Reads,
            "What a call would cost. Queues nothing.",
        ),
        tool::<d::CancelGeneration, d::Standing>(
            "cancel_generation",
            Effect::Ends,
            "Stops a generation. What a provider charges for what it has begun stays on the bill.",
        ),
        tool::<d::ChooseModel, d::Choice>(
            "choose_model",
            Effect::Reads,
            "Which model serves best what is wanted, and why.",
        ),
        tool::<d::Settle, d::Settled>(
            "settle",
            Effect::Reads,
            "Waits for several generations at once, then says which are done, failed or pending, by shot.",
        ),
        tool::<d::ListReviews, d::Reviews>(
            "list_reviews",
            Effect::Reads,
            "Generations that wait for a person, with all prompts tried.",
        ),
        tool::<d::ResolveReview, d::Standing>(
            "resolve_review",
            Effect::Decides,
            "Decides about one of list_reviews. rewrite, switch_model and retry spend money.",
        ),
    ];
    let mut all: Vec<Tool> = tools().into_iter().chain(others).collect();
    for tool in all.iter_mut().filter(|tool| tool.name == "get_generation") {
        tool.input_schema = schema::<d::FollowGeneration>();
    }
    all
}

/// The tool of this name.
pub fn by_name(name: &str) -> Option<Tool> {
    agent_tools().into_iter().find(|tool| tool.name == name)
}

fn tool<Input: JsonSchema, Output: JsonSchema>(
    name: &'static str,
    effect: Effect,
    description: &'static str,
) -> Tool {
    Tool { name, description, input_schema: schema::<Input>(), output_schema: schema::<Output>(), effect }
}

/// Without references: clients of models resolve none.
fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    SchemaGenerator::new(settings).into_root_schema_for::<T>()
}

#[cfg(test)]
mod tests;
