"""One small tool per question about speed."""
