"""Many runs, and runs on clusters: batch scripts, tasks on sub-communicators."""
