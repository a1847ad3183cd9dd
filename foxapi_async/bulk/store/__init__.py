"""Jobs whose pictures go to an object store."""
