"""What packages ship and is made from the code: manual pages and shell completions."""
