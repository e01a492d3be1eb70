//! The settings and keys as the network thread gets them.

use std::time::Duration;

use image_gen_engine::cost::Sanity;
use image_gen_engine::egress::Egress;
use image_gen_engine::run::Terms;
use rust_decimal::Decimal;

use super::io::{self, Config};
use crate::keys::Keys;
use crate::settings;

/// What the network thread needs to know of the settings.
pub fn config(keys: Keys) -> Config {
    let own_machine = io::own_machine(&keys);
    Config {
        keys,
        egress: Egress { own_machine, ..settings::egress() },
        keep_all_bytes: settings::KEEP_BYTES.get() == settings::KeepBytes::All,
        asset_store: settings::text(&settings::ASSET_STORE),
        asset_name: settings::text(&settings::ASSET_NAME),
        asset_public_url: settings::text(&settings::ASSET_PUBLIC_URL),
        terms: Terms {
            resend_uncertain: settings::ON_UNCERTAIN.get() == settings::OnUncertain::Retry,
            patience: Duration::from_secs(settings::OUTAGE_TIMEOUT.get() as u64),
            sanity: Sanity {
                factor: decimal(settings::COST_SANITY_FACTOR.get()),
                ceiling: decimal(settings::COST_SANITY_CEILING.get()),
            },
            thumbnails: settings::THUMBNAILS.get(),
            warn_of_formats: settings::UNEXPECTED_FORMATS.get() == settings::UnexpectedFormats::Warn,
        },
        preview_when_unconfigured: settings::PREVIEW_WHEN_UNCONFIGURED.get(),
        max_refusals: settings::MAX_REFUSALS.get() as u32,
        breaker_failures: settings::BREAKER_FAILURES.get() as u32,
        balance_interval: Duration::from_secs(settings::BALANCE_INTERVAL.get() as u64),
    }
}

/// What a setting says; its bounds keep it within those of a decimal.
fn decimal(setting: f64) -> Decimal {
    Decimal::try_from(setting).unwrap_or(Decimal::TEN)
}

/// The keys of now, with what is wrong with their file.
pub fn load_keys() -> (Keys, Option<String>) {
    Keys::load(&settings::text(&settings::SECRETS_FILE))
}
