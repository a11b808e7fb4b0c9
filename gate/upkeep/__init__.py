"""What is tidied for all requests: sweeping, archiving, removing."""
