"""CloudFormation: custom resources, nested stacks, and what its API tells of the stack that runs."""
