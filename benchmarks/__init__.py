"""What the SDK costs and gains, measured: one command per question, ratios from one run."""
