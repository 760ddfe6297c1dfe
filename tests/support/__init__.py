"""What tests share: people, envelopes, legs, and fakes that keep the ports' promises."""
