"""What GitLab Runner calls: config, prepare, run and cleanup, and the rehearsal, which plays the runner."""
