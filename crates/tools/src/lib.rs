//! The four tools of an agent: what goes in, what comes out, and their JSON Schemas.
//!
//! Schemas and checks come from the same types, so that what a schema allows is what is read. Nothing here knows PostgreSQL:
//! the extension's SQL functions of the same names, and programs that offer these tools by other ways, use it.
//!
//! | module | its one noun |
//! |---|---|
//! | [`input`] | the arguments of a tool |
//! | [`output`] | the answer of a tool |
//! | [`read`] | JSON from outside as one of these types, or where in it the mistake is |
//! | [`poll`] | when to ask again |

pub mod input;
pub mod output;
pub mod poll;
pub mod read;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;

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
}

/// All of them.
pub fn tools() -> [Tool; 4] {
    [
        tool::<input::GenerateImage, output::Queued>(
            "generate_image",
            "Queues a picture and returns at once with its id. Nothing is rendered before the transaction commits. \
             Ask for it with get_generation after estimated_seconds.",
        ),
        tool::<input::GetGeneration, output::Generation>(
            "get_generation",
            "How a queued picture stands, and its URL, seed and billed cost when it is there. While it is not, ask again \
             after next_poll_ms.",
        ),
        tool::<input::ListRecentGenerations, output::Generations>(
            "list_recent_generations",
            "The newest images, the newest first. For the next page pass next_before as before.",
        ),
        tool::<input::GetCredits, output::Credits>(
            "get_credits",
            "What may still be spent, in USD. Ask before a batch: a budget that ends in the middle of it is noticed before it.",
        ),
    ]
}

/// The tool of this name.
pub fn by_name(name: &str) -> Option<Tool> {
    tools().into_iter().find(|tool| tool.name == name)
}

fn tool<Input: JsonSchema, Output: JsonSchema>(name: &'static str, description: &'static str) -> Tool {
    Tool { name, description, input_schema: schema::<Input>(), output_schema: schema::<Output>() }
}

/// Without references: clients of models resolve none.
fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    SchemaGenerator::new(settings).into_root_schema_for::<T>()
}

#[cfg(test)]
mod tests;
