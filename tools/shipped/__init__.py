"""What packages ship and is made from the code: manual pages, shell completions, a dashboard."""
