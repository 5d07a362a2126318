"""EventBridge Scheduler: schedules that call any service of the local cloud, on its clock."""
