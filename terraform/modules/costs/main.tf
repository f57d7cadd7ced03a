# What a list of quantities costs in a month. All prices are in prices.yaml.

terraform {
  required_version = ">= 1.11"
}

variable "lines" {
  description = "Quantities of a month: what it is, its key in prices.yaml, and how many units of that. A line without quantity is left out."
  type        = list(object({ item = string, price = string, quantity = number }))
  nullable    = false
}

locals {
  prices = yamldecode(file("${path.module}/prices.yaml"))

  lines = [
    for line in var.lines : {
      item     = line.item
      quantity = line.quantity
      unit     = try(local.prices[line.price].unit, "of ${line.price}")
      price    = try(local.prices[line.price].usd, null)
      usd      = try(floor(line.quantity * local.prices[line.price].usd * 100 + 0.5) / 100, null)
    } if line.quantity > 0
  ]

  total = sum(concat([0], [for line in local.lines : line.usd if line.usd != null]))
}

output "lines" {
  description = "Each line with its unit, its price and what it costs, in USD; price and usd are null where prices.yaml has none."
  value       = local.lines
}

output "total" {
  description = "What they cost together, in USD a month."
  value       = local.total
}

output "unpriced" {
  description = "The items that prices.yaml has no price for, which are missing in the total."
  value       = [for line in local.lines : line.item if line.usd == null]
}

output "table" {
  description = "The lines as a table in Markdown."
  value = join("\n", concat(
    ["| | quantity | price, USD | USD a month |", "|---|---|---|---|"],
    [for line in local.lines : "| ${line.item} | ${line.quantity} ${line.unit} | ${line.price == null ? "not known" : line.price} | ${line.usd == null ? "not known" : format("%.2f", line.usd)} |"],
    ["| **together** | | | **${format("%.0f", local.total)}** |"],
  ))
}
