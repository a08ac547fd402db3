"""The ladder: the rungs that judge a session, in order."""
