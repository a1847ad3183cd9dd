"""Result files and input files: what is fetched, what is sent, and what they are called."""
